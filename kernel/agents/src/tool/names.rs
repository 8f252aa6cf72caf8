//! Names of tools as models may be shown them: 1 to 64 of `a-z A-Z 0-9 _ -`.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// Length in letters of the longest name that every provider takes.
const MAX_LENGTH: usize = 64;
/// Letters of a hash at the end of a name that tell it from others which would be written the same.
const HASH_LENGTH: usize = 8;

/// What models call the tools: no two of them the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// By the tool's own name.
    shown: BTreeMap<String, String>,
    /// By the name that models are shown.
    own: BTreeMap<String, String>,
}

impl Names {
    /// Names for these tools. One that may be shown as it is stays as it is, whatever the others are called.
    pub(crate) fn new<'a>(tools: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut names = Self::default();
        let (plain, other): (Vec<&str>, Vec<&str>) = tools.partition(|tool| is_plain(tool));
        for tool in plain.into_iter().chain(other) {
            names.add(tool);
        }
        names
    }

    /// The same names, and some for tools that there are no more but that a conversation still speaks of.
    pub(crate) fn with<'a>(self: &Arc<Self>, gone: impl Iterator<Item = &'a str>) -> Arc<Self> {
        let mut names = Arc::clone(self);
        for tool in gone {
            if !names.shown.contains_key(tool) {
                Arc::make_mut(&mut names).add(tool);
            }
        }
        names
    }

    /// What a model calls a tool.
    pub(crate) fn shown<'a>(&'a self, tool: &'a str) -> &'a str {
        self.shown.get(tool).map_or(tool, String::as_str)
    }

    /// The tool that a model calls so. A name that was never shown stays as it is.
    pub(crate) fn own<'a>(&'a self, shown: &'a str) -> &'a str {
        self.own.get(shown).map_or(shown, String::as_str)
    }

    fn add(&mut self, tool: &str) {
        let is_free = is_plain(tool) && !self.own.contains_key(tool);
        let shown = if is_free { tool.to_owned() } else { self.invent(tool) };
        self.own.insert(shown.clone(), tool.to_owned());
        self.shown.insert(tool.to_owned(), shown);
    }

    /// A plain name near to this one that no other tool has.
    fn invent(&self, tool: &str) -> String {
        let plain: String =
            tool.chars().map(|c| if is_plain_letter(c) { c } else { '_' }).take(MAX_LENGTH).collect();
        if !plain.is_empty() && !self.own.contains_key(&plain) {
            return plain;
        }
        let hashed = (0_u64..).map(|n| {
            let digest = Sha256::new().chain_update(n.to_be_bytes()).chain_update(tool).finalize();
            let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}_{}", &plain[..plain.len().min(MAX_LENGTH - HASH_LENGTH - 1)], &hash[..HASH_LENGTH])
        });
        hashed.into_iter().find(|name| !self.own.contains_key(name)).unwrap_or_default()
    }
}

fn is_plain(name: &str) -> bool {
    (1..=MAX_LENGTH).contains(&name.len()) && name.chars().all(is_plain_letter)
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
    fn a_tool_that_is_gone_takes_nobody_elses_name() {
        let names = Arc::new(Names::new(["near.echo"].into_iter()));
        assert!(Arc::ptr_eq(&names, &names.with(["near.echo"].into_iter())));
        let with = names.with(["near_echo", "near.echo", "gone"].into_iter());
        assert_eq!((with.shown("near.echo"), with.own("near_echo")), ("near_echo", "near.echo"));
        assert_eq!((with.shown("gone"), with.own(with.shown("near_echo"))), ("gone", "near_echo"));
    }

    #[test]
    fn a_name_alone_reads_like_its_tool() {
        assert_eq!(Names::new(["near.echo"].into_iter()).shown("near.echo"), "near_echo");
    }
}
