//! Names of tools as models may be shown them: 1 to 64 of `a-z A-Z 0-9 _ -`.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Longest name that every provider takes.
const LONGEST: usize = 64;
/// Letters at the end of a name that tell it from others which would be written the same.
const MARK: usize = 8;

/// Which tools there are and what a model calls them: no two of them the same.
#[derive(Debug, Clone, Default)]
pub struct Names {
    shown: BTreeMap<String, String>,
    own: BTreeMap<String, String>,
}

impl Names {
    /// Names for these tools. One that may be shown as it is stays as it is, whatever the others are called.
    pub fn new<'a>(tools: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut names = Self::default();
        let (plain, other): (Vec<&str>, Vec<&str>) = tools.partition(|tool| is_plain(tool));
        for tool in plain.into_iter().chain(other) {
            names.add(tool);
        }
        names
    }

    /// What a model calls a tool.
    pub fn shown<'a>(&'a self, tool: &'a str) -> &'a str {
        self.shown.get(tool).map_or(tool, String::as_str)
    }

    /// The tool that a model calls so. A name that was never shown stays as it is.
    pub fn own<'a>(&'a self, shown: &'a str) -> &'a str {
        self.own.get(shown).map_or(shown, String::as_str)
    }

    fn add(&mut self, tool: &str) {
        let shown = match is_plain(tool) {
            true => tool.to_owned(),
            false => self.invent(tool),
        };
        self.own.insert(shown.clone(), tool.to_owned());
        self.shown.insert(tool.to_owned(), shown);
    }

    /// A plain name near to this one that no other tool has.
    fn invent(&self, tool: &str) -> String {
        let plain: String =
            tool.chars().map(|c| if is_plain_letter(c) { c } else { '_' }).take(LONGEST).collect();
        if !plain.is_empty() && !self.own.contains_key(&plain) {
            return plain;
        }
        let marked = (0_u64..).map(|n| {
            let digest = Sha256::new().chain_update(n.to_be_bytes()).chain_update(tool).finalize();
            let mark: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}_{}", &plain[..plain.len().min(LONGEST - MARK - 1)], &mark[..MARK])
        });
        marked.into_iter().find(|name| !self.own.contains_key(name)).unwrap_or_default()
    }
}

fn is_plain(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.chars().all(is_plain_letter)
}

fn is_plain_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_plain_and_comes_back() {
        let long = "x".repeat(70);
        let longer = "x".repeat(71);
        let tools = [
            "near.echo",
            "near_echo",
            "near/echo",
            "näher",
            "",
            "get_weather",
            long.as_str(),
            longer.as_str(),
        ];
        let names = Names::new(tools.iter().copied());
        for tool in tools {
            let shown = names.shown(tool);
            assert!(is_plain(shown), "{tool:?}: {shown:?}");
            assert_eq!(names.own(shown), tool);
        }
        assert_eq!(names.shown("near_echo"), "near_echo", "a plain name is nobody else's");
        assert_eq!((names.shown("get_weather"), names.shown("näher")), ("get_weather", "n_her"));
        assert_eq!((names.own("unheard_of"), names.shown("un.heard")), ("unheard_of", "un.heard"));
    }

    #[test]
    fn a_name_alone_reads_like_its_tool() {
        assert_eq!(Names::new(["near.echo"].into_iter()).shown("near.echo"), "near_echo");
    }
}
