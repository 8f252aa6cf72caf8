//! A file of texts and of what platforms are given for them, for people to read and tests to hold.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// What the blocks of the file stand between.
const FENCE: &str = "`````";
/// Lines longer than this are shortened, to so many characters at each end.
const MAX_LINE: usize = 200;
const SHOWN: usize = 40;

/// Holds a file of texts against what becomes of them on a platform: under each heading stands a text, and under the
/// platform's name the messages that it becomes; where it becomes none there is no such name. With `INSTA_UPDATE=always` in the environment the file is written anew.
///
/// # Panics
/// Something else becomes of a text than the file says.
pub fn rendered(file: &Path, platform: &str, render: impl Fn(&str) -> Vec<String>) {
    let written = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (mut anew, sections) = read(&written);
    let mut differing = Vec::new();
    for section in sections {
        let text = expanded(&section.text);
        let messages = render(&text);
        let shown: Vec<String> = messages.iter().map(|message| visible(message)).collect();
        let own = if messages == [text] { Becomes::Same } else { Becomes::Messages(shown) };
        let mut becomes = section.becomes.clone();
        match messages.is_empty() {
            true => becomes.remove(platform),
            false => becomes.insert(platform.to_owned(), own),
        };
        let changed = Section { becomes, ..section.clone() };
        let shown = changed.shown();
        if changed != section {
            differing.push(shown.clone());
        }
        anew.push_str("\n\n");
        anew.push_str(&shown);
    }
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(file, anew + "\n").unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        return;
    }
    assert!(differing.is_empty(), "{} says otherwise:\n\n{}", file.display(), differing.join("\n\n"));
}

/// A text, and what becomes of it by platform.
#[derive(Clone, Default, PartialEq)]
struct Section {
    title: String,
    text: String,
    becomes: BTreeMap<String, Becomes>,
}

#[derive(Clone, PartialEq)]
enum Becomes {
    /// What was written.
    Same,
    Messages(Vec<String>),
}

impl Section {
    fn shown(&self) -> String {
        let mut out = format!("## {}\n\n{FENCE}markdown\n{}\n{FENCE}", self.title, self.text);
        for (platform, becomes) in &self.becomes {
            let _ = write!(out, "\n\n**{platform}**");
            match becomes {
                Becomes::Same => out.push_str(": as it is written"),
                Becomes::Messages(messages) => {
                    for message in messages {
                        let _ = write!(out, "\n\n{FENCE}\n{message}\n{FENCE}");
                    }
                }
            }
        }
        out
    }
}

/// What stands before the first section, and the sections.
fn read(file: &str) -> (String, Vec<Section>) {
    let (mut head, mut sections): (Vec<&str>, Vec<Section>) = (Vec::new(), Vec::new());
    let mut block: Option<Vec<&str>> = None;
    let mut platform: Option<String> = None;
    for line in file.lines() {
        if let Some(lines) = &mut block {
            if line != FENCE {
                lines.push(line);
                continue;
            }
            let text = lines.join("\n");
            block = None;
            let Some(section) = sections.last_mut() else { continue };
            match platform.as_ref().and_then(|name| section.becomes.get_mut(name)) {
                Some(Becomes::Messages(messages)) => messages.push(text),
                _ => section.text = text,
            }
        } else if let Some(title) = line.strip_prefix("## ") {
            sections.push(Section { title: title.to_owned(), ..Section::default() });
            platform = None;
        } else if let (Some(section), Some((name, rest))) =
            (sections.last_mut(), line.strip_prefix("**").and_then(|line| line.split_once("**")))
        {
            let becomes = if rest.is_empty() { Becomes::Messages(Vec::new()) } else { Becomes::Same };
            section.becomes.insert(name.to_owned(), becomes);
            platform = Some(name.to_owned());
        } else if line.starts_with(FENCE) {
            block = Some(Vec::new());
        } else if sections.is_empty() {
            head.push(line);
        }
    }
    (head.join("\n").trim_end().to_owned(), sections)
}

/// A text from the form that it has in the file.
fn expanded(shown: &str) -> String {
    let mut out = String::new();
    let mut rest = shown;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        rest = match after.split_once(" times: ").map(|(count, after)| (count.parse::<usize>(), after)) {
            Some((Ok(count), repeated)) => {
                let end = repeated.rfind('}').unwrap_or(repeated.len());
                out.push_str(&expanded(&repeated[..end]).repeat(count));
                repeated.get(end + 1..).unwrap_or_default()
            }
            _ => match character(after) {
                Some((c, after)) => {
                    out.push(c);
                    after
                }
                None => {
                    out.push('{');
                    after
                }
            },
        };
    }
    out.push_str(rest);
    out
}

fn character(text: &str) -> Option<(char, &str)> {
    let (code, after) = text.strip_prefix("U+")?.split_once('}')?;
    Some((char::from_u32(u32::from_str_radix(code, 16).ok()?)?, after))
}

/// A text as the file shows it.
fn visible(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(line).collect();
    let many = lines.len();
    if many > 60 {
        let (first, last) = (&lines[..3], &lines[many - 3..]);
        return format!("{}\n{{… {} lines …}}\n{}", first.join("\n"), many - 6, last.join("\n"));
    }
    lines.join("\n")
}

fn line(text: &str) -> String {
    let length = text.chars().count();
    let shown = |text: &str| -> String {
        let spaces = text.len() - text.trim_end_matches(' ').len();
        let mut out: String = text[..text.len() - spaces].chars().map(shown).collect();
        out.extend(std::iter::repeat_n("{U+0020}", spaces));
        out
    };
    if length <= MAX_LINE {
        return shown(text);
    }
    let first: String = text.chars().take(SHOWN).collect();
    let last: String = text.chars().skip(length - SHOWN).collect();
    format!("{first}{{… {} characters …}}{}", length - 2 * SHOWN, shown(&last))
}

fn shown(c: char) -> String {
    let is_hidden = c.is_control()
        || matches!(c, '\u{a0}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    // What joins emoji shows in them.
    if is_hidden && c != '\u{200d}' { format!("{{U+{:04X}}}", u32::from(c)) } else { c.to_string() }
}
