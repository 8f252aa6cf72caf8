//! A skill: what its SKILL.md says, checked.

use super::front_matter::{self, Words};

/// Most characters of a name, as the format says.
const MAX_NAME: usize = 64;
/// Most characters of a description, as the format says.
const MAX_DESCRIPTION: usize = 1024;
/// Most triggers, and most characters of one.
const MAX_TRIGGERS: usize = 32;
const MAX_TRIGGER: usize = 64;
/// Most tools that a skill names.
const MAX_TOOLS: usize = 256;

/// A skill, as its SKILL.md describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill {
    /// What it is called: the name of its folder.
    pub name: String,
    /// What it does, and when it is to be used.
    pub description: String,
    /// A message that begins with one of these brings it in.
    pub triggers: Vec<String>,
    /// The tools that it works with, as patterns of names. Empty: it says nothing of tools.
    pub tools: Vec<String>,
    /// Keys of its front matter that mean nothing here.
    pub unknown: Vec<String>,
}

impl Skill {
    /// Reads the SKILL.md of a folder. Returns its instructions besides: how to go about it, in Markdown, or the description
    /// where there is nothing else.
    ///
    /// # Errors
    /// What is wrong with it and what would do, to stand after "SKILL.md: ".
    pub(crate) fn parse(folder: &str, text: &str) -> Result<(Self, String), String> {
        let (said, body) = front_matter::read(text)?;
        let name = said.name.as_deref().map(str::trim).unwrap_or_default();
        if name.is_empty() {
            return Err(format!("its front matter has no name; here it is `name: {folder}`"));
        }
        if !is_name(name) {
            return Err(format!(
                "its name {name:?} is none: {MAX_NAME} characters at most, of a to z, 0 to 9 and single hyphens between them"
            ));
        }
        if name != folder {
            return Err(format!(
                "its name is {name}, and its folder is called {folder}: both have to be the same"
            ));
        }
        let description = said.description.as_deref().map(str::trim).unwrap_or_default();
        match description.chars().count() {
            0 => {
                return Err(
                    "its front matter has no description: say what it does, and when to use it".to_owned()
                );
            }
            count if count > MAX_DESCRIPTION => {
                return Err(format!(
                    "its description has {count} characters; {MAX_DESCRIPTION} are the most"
                ));
            }
            _ => {}
        }
        let body = body.trim();
        let instructions = if body.is_empty() { description } else { body }.to_owned();
        let skill = Self {
            name: name.to_owned(),
            description: description.to_owned(),
            triggers: triggers(name, said.metadata.triggers)?,
            tools: tools(said.allowed_tools)?,
            unknown: said.unknown,
        };
        Ok((skill, instructions))
    }
}

/// Whether the format allows this name.
fn is_name(name: &str) -> bool {
    let is_piece =
        |piece: &str| !piece.is_empty() && piece.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9'));
    name.len() <= MAX_NAME && name.split('-').all(is_piece)
}

/// `metadata.triggers`, with commas between them or as a list; without it `/NAME`.
fn triggers(name: &str, said: Option<Words>) -> Result<Vec<String>, String> {
    let all: Vec<String> = match said {
        None => return Ok(vec![format!("/{name}")]),
        Some(Words::Text(text)) => text.split(',').map(|one| one.trim().to_owned()).collect(),
        Some(Words::List(list)) => list.iter().map(|one| one.trim().to_owned()).collect(),
    };
    let all: Vec<String> = all.into_iter().filter(|one| !one.is_empty()).collect();
    if all.len() > MAX_TRIGGERS {
        return Err(format!("it has {} metadata.triggers; {MAX_TRIGGERS} are the most", all.len()));
    }
    let is_bad = |one: &&String| one.chars().count() > MAX_TRIGGER || one.chars().any(char::is_control);
    match all.iter().find(is_bad) {
        Some(bad) => Err(format!(
            "one of its metadata.triggers is {bad:?}: a trigger is one line of {MAX_TRIGGER} characters at most"
        )),
        None => Ok(all),
    }
}

/// `allowed-tools`, with spaces or commas between them or as a list. Other products put what a tool may be called with in
/// parentheses, spaces and all: `Bash(git add *)` is one.
fn tools(said: Option<Words>) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let texts = match said {
        None => return Ok(all),
        Some(Words::Text(text)) => vec![text],
        Some(Words::List(list)) => list,
    };
    for text in texts {
        let mut depth = 0_usize;
        let pieces = text.split(|c: char| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && (c.is_whitespace() || c == ',')
        });
        all.extend(pieces.filter(|piece| !piece.is_empty()).map(str::to_owned));
    }
    match all.len() {
        count if count > MAX_TOOLS => Err(format!("its allowed-tools are {count}; {MAX_TOOLS} are the most")),
        _ => Ok(all),
    }
}

#[cfg(test)]
mod tests;
