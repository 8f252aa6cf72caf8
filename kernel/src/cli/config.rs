//! `prx config`

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;

use hyper::Method;
use serde_json::{Map, Value, json};

use super::client::Payload;
use super::failure::Failure;
use super::output::{Console, say, settings, table, warn};
use super::paths::Paths;
use crate::bundled::BUNDLED;
use crate::settings::keys::keys;
use crate::settings::{AtStart, at_start};
use prx_base::config::keys::{FILTER_ORDER, KEYS, Type};
use prx_base::config::{Config, Invalid, Overrides, REDACTED, in_this_shell, is_reference};
use prx_host::on_disk;

/// Most bytes of a value on standard input.
const MAX_VALUE_BYTES: u64 = 1 << 20;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the configuration in force, without its secrets
    Get {
        /// One key or table of it, such as agent.max_turns
        key: Option<String>,
    },
    /// Change a key, in the file and in force
    Set {
        /// The key, such as agent.max_turns
        key: String,
        /// Its value; several make a list, `null` takes the key out, and `-` reads it from standard input. One that begins
        /// with a hyphen and is no number stands behind `--`
        #[arg(required = true, allow_negative_numbers = true)]
        values: Vec<String>,
    },
    /// Check the file as `prx serve` would, without a gateway
    Check,
    /// List every key, what it takes and its default
    Keys,
}

pub(super) async fn run(console: &Console, paths: &Paths, command: Command) -> Result<(), Failure> {
    match command {
        Command::Get { key } => {
            let config = console.gateway.get("/api/v1/config").await?;
            let key = key.unwrap_or_default();
            let mut parts = key.split('.').filter(|part| !part.is_empty());
            let found = parts.try_fold(&config, |value, part| value.get(part));
            let found = found.ok_or_else(|| Failure::new(format!("{key} is not set")))?;
            console.show(found, display)
        }
        Command::Set { key, values } => set(console, paths, key, values).await,
        Command::Keys => console.show(&json!({ "keys": keys(None) }), |shown| {
            table(&shown["keys"], &["key", "takes", "default", "change", "scope", "about"])
        }),
        Command::Check => check(console, paths),
    }
}

async fn set(console: &Console, paths: &Paths, key: String, values: Vec<String>) -> Result<(), Failure> {
    let values = if values == ["-"] { vec![from_standard_input()?] } else { values };
    let value = parse_value(&key, values);
    let literal = value.as_str().is_some_and(|text| !is_reference(text));
    let changes = Map::from_iter([(key.clone(), value)]);
    let sent = Payload::Json(Value::Object(changes));
    let done = console.gateway.send(Method::PATCH, "/api/v1/config", sent).await?;
    if literal && is_shown_redacted(console, &key).await? {
        warn_of_readers(paths);
    }
    console.show(&done, |done| match done["reload_required"] == true {
        true => format!("{key} is written down, and felt after a restart of the gateway"),
        false => format!("{key} is in force"),
    })
}

/// A value without the line break at its end.
fn from_standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().take(MAX_VALUE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_VALUE_BYTES {
        return Err(Failure::new(format!("standard input has more than {MAX_VALUE_BYTES} bytes")));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn is_shown_redacted(console: &Console, key: &str) -> Result<bool, Failure> {
    let config = console.gateway.get("/api/v1/config").await?;
    Ok(key.split('.').try_fold(&config, |value, part| value.get(part)).is_some_and(|shown| shown == REDACTED))
}

/// A secret was written out into a file that others may read.
fn warn_of_readers(paths: &Paths) {
    let file = paths.file(Overrides::default());
    let mode = fs::metadata(file.path()).map_or(0, |found| found.permissions().mode());
    if mode & 0o077 != 0 {
        let path = file.path().display();
        warn(&format!(
            "{path} holds this secret now, and others on this machine may read it (mode {:04o}): `chmod 600 {path}`, or \
             set env:NAME or file:PATH instead",
            mode & 0o777
        ));
    }
}

fn check(console: &Console, paths: &Paths) -> Result<(), Failure> {
    let loaded = paths.file(Overrides::default()).load()?;
    let path = loaded.file.path();
    let AtStart { fatal, down } = problems(paths, &loaded.config);
    if !fatal.is_empty() {
        return Err(Invalid::of(path, fatal).into());
    }
    let exists = loaded.text.is_some();
    if console.json {
        let warnings: Vec<_> = down.iter().map(|(key, what)| json!({"key": key, "problem": what})).collect();
        return say(
            &json!({"file": path.display().to_string(), "exists": exists, "warnings": warnings}).to_string()
        );
    }
    let text = match exists {
        _ if !down.is_empty() => "can be served, and what is named above would be down",
        true => "is fine",
        false => "is not there: the defaults serve",
    };
    if !down.is_empty() {
        warn(&Invalid::of(path, down).to_string());
    }
    say(&format!("{} {text}", path.display()))
}

/// What is wrong with the tables that belong to plugins, from the plugins there are on disk, as a start would find it
/// with the environment of this shell.
pub(super) fn problems(paths: &Paths, config: &Config) -> AtStart {
    let known =
        on_disk(BUNDLED, &paths.data_dir).into_iter().filter_map(|(name, known)| Some((name, known.ok()?)));
    let AtStart { fatal, down } = at_start(config, &known.collect());
    let down = down.into_iter().map(|(key, what)| (key, in_this_shell(&what))).collect();
    AtStart { fatal, down }
}

fn display(value: &Value) -> String {
    match value {
        Value::Object(_) => settings(value),
        Value::String(text) => super::output::printable(text, true),
        other => other.to_string(),
    }
}

/// A value as its key takes it; where nobody says, JSON if it is JSON, and else text.
fn parse_value(key: &str, values: Vec<String>) -> Value {
    let of_filters = key.strip_prefix("filters.").filter(|name| *name == FILTER_ORDER.path);
    let declared = KEYS.iter().find(|known| known.path == key).map(|known| known.ty);
    let declared = declared.or(of_filters.map(|_| FILTER_ORDER.ty));
    let typed = |text: String| match declared {
        Some(Type::Text | Type::TimeZone | Type::OneOf(_) | Type::TextList | Type::Networks) => {
            Value::String(text)
        }
        _ => serde_json::from_str(&text).unwrap_or(Value::String(text)),
    };
    let is_list = values.len() > 1 || matches!(declared, Some(Type::TextList | Type::Networks));
    match <[String; 1]>::try_from(values) {
        Ok([only]) if only == "null" => Value::Null,
        Ok([only]) if is_list && only.starts_with('[') => {
            serde_json::from_str(&only).unwrap_or(Value::String(only))
        }
        Ok([only]) if !is_list => typed(only),
        Ok([only]) => json!([only]),
        Err(several) => json!(several),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_its_key_takes() {
        let set = |key, values: &[&str]| parse_value(key, values.iter().map(|&value| value.into()).collect());
        assert_eq!(set("agent.max_turns", &["7"]), 7);
        assert_eq!(set("agent.system_prompt", &["7"]), "7");
        assert_eq!(set("agent.system_prompt", &["null"]), Value::Null);
        assert_eq!(set("gateway.allowed_hosts", &["a"]), json!(["a"]));
        assert_eq!(set("filters.order", &["redact"]), json!(["redact"]));
        assert_eq!(set("gateway.allowed_hosts", &["[]"]), json!([]));
        assert_eq!(set("gateway.allowed_hosts", &["a", "b"]), json!(["a", "b"]));
        assert_eq!(set("channels_config.work.bot_token", &["12:ab"]), "12:ab");
        assert_eq!(set("channels_config.work.allowed_users", &["7", "8"]), json!(["7", "8"]));
        assert_eq!(set("channels_config.work", &["{\"a\": 1}"]), json!({"a": 1}));
    }
}
