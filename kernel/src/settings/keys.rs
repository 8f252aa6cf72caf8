//! The table of the kernel's keys, as people and their programs read it.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use prx_base::config::keys::{KEYS, Key, Type};
use prx_base::config::{Config, Parsed};
use prx_http::Scope;

/// A key whose table belongs to the kernel.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConfigKey")]
pub(crate) struct KeyView {
    /// Its dotted path, as a change names it.
    key: &'static str,
    /// What it takes: `bool`, `integer`, `text`, `word`, `texts` or `table`.
    kind: &'static str,
    /// The same in words.
    takes: String,
    /// The words that it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<&'static [&'static str]>,
    default: Value,
    /// When a change is felt: `at once` or after a `restart`.
    change: &'static str,
    /// What a token has to be good for to change it.
    scope: &'static str,
    about: &'static str,
    /// Who has set it: `file`, `command line`, or nobody: `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_by: Option<&'static str>,
}

/// Every key; with `parsed`, the text that is in force, also who has set it.
pub(crate) fn keys(parsed: Option<&Parsed>) -> Vec<KeyView> {
    let defaults = json!(Config::default());
    let sides = parsed.map(|parsed| (json!(parsed.written), json!(parsed.config)));
    let row = |key: &'static Key| {
        let value = |config: &Value| config.pointer(&format!("/{}", key.path.replace('.', "/"))).cloned();
        let set_by = parsed.zip(sides.as_ref()).map(|(parsed, (written, in_force))| {
            match value(written) == value(in_force) {
                false => "command line",
                true if parsed.says(key.path) => "file",
                true => "default",
            }
        });
        let (kind, words) = kind(key.ty);
        KeyView {
            key: key.path,
            kind,
            takes: key.ty.describe(),
            words,
            default: value(&defaults).unwrap_or_default(),
            change: if key.restart { "restart" } else { "at once" },
            scope: if key.guarded { Scope::ADMIN } else { Scope::CONFIG_WRITE }.as_str(),
            about: key.about,
            set_by,
        }
    };
    KEYS.iter().map(row).collect()
}

fn kind(ty: Type) -> (&'static str, Option<&'static [&'static str]>) {
    match ty {
        Type::Bool => ("bool", None),
        Type::Integer(..) => ("integer", None),
        Type::Text | Type::FlagOrSize | Type::TimeZone => ("text", None),
        Type::OneOf(words) => ("word", Some(words)),
        Type::TextList | Type::Networks | Type::Models => ("texts", None),
        Type::TextTable | Type::Words(_) | Type::Tables(_) | Type::Table(_) => ("table", None),
    }
}
