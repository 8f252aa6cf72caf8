//! Names of tools as models and MCP clients are shown them: 1 to 64 of `a-z A-Z 0-9 _ -`. A name depends on nothing but the
//! tool's own: whoever has kept it reaches the same tool or none, whatever else came and went meanwhile. Of the first
//! two underscores in a row:
//!
//! | own name | shown | has |
//! |---|---|---|
//! | `get_weather` | `get_weather` | none |
//! | `near.echo` | `near__echo` | two, where the dot was |
//! | anything else | `n_her___0a1b2c3d` | three, and a hash behind them |

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use prx_base::text::hex;

/// Length in letters of the longest name that every provider takes.
const MAX_LENGTH: usize = 64;
/// Letters of a hash at the end of a name that can't be written otherwise.
const HASH_LENGTH: usize = 8;
/// Stands where a name had a dot.
const DOT: &str = "__";
/// Stands before a hash.
const BEFORE_HASH: &str = "___";

/// What models call the tools: no two of them the same.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// By the tool's own name.
    shown: BTreeMap<String, String>,
    /// By the name that models are shown.
    own: BTreeMap<String, String>,
}

impl Names {
    /// Names for these tools.
    pub(crate) fn new<'a>(tools: impl Iterator<Item = &'a str>) -> Self {
        let mut names = Self::default();
        tools.for_each(|tool| names.add(tool));
        names
    }

    /// The same names, and some for tools that there are no more but that a conversation still speaks of.
    pub fn with<'a>(self: &Arc<Self>, gone: impl Iterator<Item = &'a str>) -> Arc<Self> {
        let mut names = Arc::clone(self);
        for tool in gone {
            if !names.shown.contains_key(tool) {
                Arc::make_mut(&mut names).add(tool);
            }
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
        let shown = readable(tool).unwrap_or_else(|| self.hashed(tool));
        self.own.insert(shown.clone(), tool.to_owned());
        self.shown.insert(tool.to_owned(), shown);
    }

    /// A name that no other tool has, for one that can't be written otherwise. That two hashes are the same is as good
    /// as impossible, unless someone tries for it; then the second is made anew.
    fn hashed(&self, tool: &str) -> String {
        let stem = stem(tool);
        let hashed = (0_u64..).map(|n| {
            let digest = Sha256::new().chain_update(n.to_be_bytes()).chain_update(tool).finalize();
            let hash = hex(&digest);
            format!("{stem}{BEFORE_HASH}{}", &hash[..HASH_LENGTH])
        });
        hashed.into_iter().find(|name| !self.own.contains_key(name)).unwrap_or_default()
    }
}

/// A name that reads like the tool's own and can be no other tool's, where there is one.
fn readable(tool: &str) -> Option<String> {
    if is_plain(tool) && !tool.contains(DOT) {
        return Some(tool.to_owned());
    }
    let (source, name) = tool.split_once('.')?;
    let is_clear = !source.contains(DOT) && !source.ends_with('_') && !name.starts_with('_');
    let shown = format!("{source}{DOT}{name}");
    (is_clear && !source.is_empty() && !name.is_empty() && is_plain(&shown)).then_some(shown)
}

/// The beginning of a name with a hash: what is plain of it, with no two underscores in a row.
fn stem(tool: &str) -> String {
    let plain = tool.chars().map(|c| if is_plain_letter(c) { c } else { '_' });
    let mut stem = String::new();
    for letter in plain {
        if letter != '_' || !stem.ends_with('_') {
            stem.push(letter);
        }
    }
    stem.truncate(MAX_LENGTH - HASH_LENGTH - BEFORE_HASH.len());
    match stem.trim_matches('_') {
        "" => "tool".to_owned(),
        stem => stem.to_owned(),
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
            "near__echo",
            "near___echo",
            "near/echo",
            "near_.echo",
            "near._echo",
            "far.near__echo",
            "far.near.echo",
            "far__near.echo",
            "näher",
            "_",
            "__",
            ".",
            "near.",
            ".echo",
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
            // Nobody else has a say in it.
            assert_eq!(Names::new([tool].into_iter()).shown(tool), shown);
            // And it would not be another tool's.
            let other = Names::new([shown].into_iter());
            assert!(shown == tool || other.shown(shown) != shown, "{tool:?}: {shown:?}");
        }
        assert_eq!((names.shown("near.echo"), names.shown("near_echo")), ("near__echo", "near_echo"));
        assert_eq!(
            (names.shown("get_weather"), names.shown("far.near__echo")),
            ("get_weather", "far__near__echo")
        );
        assert!(names.shown("näher").starts_with("n_her___"), "{}", names.shown("näher"));
        assert_eq!((names.own("unheard_of"), names.shown("un.heard")), ("unheard_of", "un.heard"));
    }

    #[test]
    fn a_tool_that_is_gone_keeps_its_name() {
        let names = Arc::new(Names::new(["near.echo"].into_iter()));
        assert!(Arc::ptr_eq(&names, &names.with(["near.echo"].into_iter())));
        let with = names.with(["near__echo", "near.echo", "gone.by"].into_iter());
        assert_eq!((with.shown("near.echo"), with.own("near__echo")), ("near__echo", "near.echo"));
        assert_eq!(with.shown("gone.by"), "gone__by");
    }

    proptest::proptest! {
        #[test]
        fn no_two_tools_are_shown_the_same(tools in proptest::collection::btree_set("[ab_.é-]{0,8}", 1..40)) {
            let names = Names::new(tools.iter().map(String::as_str));
            for tool in &tools {
                let shown = names.shown(tool);
                assert!(is_plain(shown) && names.own(shown) == tool, "{tool:?}: {shown:?}");
                assert_eq!(Names::new([tool.as_str()].into_iter()).shown(tool), shown);
            }
        }
    }
}
