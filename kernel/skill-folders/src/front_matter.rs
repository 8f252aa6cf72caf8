//! The YAML between the `---` lines at the top of a SKILL.md.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{alias_limits, budget, options};

/// What the front matter says. Keys of other products are no mistake; they are only noted.
#[derive(Debug, Default)]
pub(crate) struct FrontMatter {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) allowed_tools: Option<Words>,
    pub(crate) metadata: Metadata,
    /// Keys that mean nothing here.
    pub(crate) unknown: Vec<String>,
}

/// What is read of `metadata`; the rest of it is its author's.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) triggers: Option<Words>,
}

/// A text with several words in it, or a list of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Words {
    Text(String),
    List(Vec<String>),
}

/// Takes a SKILL.md apart: its front matter, and the Markdown after it.
///
/// # Errors
/// It has no front matter, or that is not closed, or is no YAML of the right types; says which, and in which line.
pub(crate) fn read(text: &str) -> Result<(FrontMatter, &str), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_fence = |line: &str| line.trim_end() == "---";
    let mut lines = text.split_inclusive('\n');
    if !lines.next().is_some_and(is_fence) {
        return Err(
            "it does not begin with a line `---`, as its front matter with name and description does"
                .to_owned(),
        );
    }
    let begin = text.find('\n').map_or(text.len(), |end| end + 1);
    let mut end = begin;
    for line in lines {
        if is_fence(line) {
            let body = &text[end + line.len()..];
            return Ok((parse(&text[begin..end])?, body));
        }
        end += line.len();
    }
    Err("its front matter is not closed: a line `---` belongs between it and the instructions".to_owned())
}

fn parse(yaml: &str) -> Result<FrontMatter, String> {
    // Front matter is a page of text: what repeats itself by aliases, or nests deeper, is refused before it costs anything.
    let options = options! {
        budget: budget! {
            max_depth: 16,
            max_nodes: 4096,
            max_events: 16_384,
            max_aliases: 64,
            max_anchors: 64,
            max_merge_keys: 64,
        },
        alias_limits: alias_limits! { max_total_replayed_events: 4096, max_replay_stack_depth: 8 },
        with_snippet: false,
    };
    // Its first line is the file's second.
    let lined_up = format!("\n{yaml}");
    serde_saphyr::from_str_with_options(&lined_up, options).map_err(|error| {
        let error = error.without_snippet().to_string();
        let first = error.lines().next().unwrap_or_default();
        format!("its front matter can't be read: {first}; a text with `: ` or ` #` in it belongs in quotes")
    })
}

impl<'de> Deserialize<'de> for FrontMatter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = FrontMatter;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("keys such as name and description, each with its value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FrontMatter, A::Error> {
                let mut found = FrontMatter::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "name" => found.name = map.next_value()?,
                        "description" => found.description = map.next_value()?,
                        "allowed-tools" => found.allowed_tools = map.next_value()?,
                        "metadata" => found.metadata = map.next_value::<Option<_>>()?.unwrap_or_default(),
                        known => {
                            map.next_value::<IgnoredAny>()?;
                            if !matches!(known, "license" | "compatibility") {
                                found.unknown.push(key);
                            }
                        }
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Words, E> {
                Ok(Words::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = list.next_element()? {
                    all.push(text);
                }
                Ok(Words::List(all))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
