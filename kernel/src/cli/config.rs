//! `prx config`

use hyper::Method;
use serde_json::{Map, Value, json};

use super::client::Payload;
use super::failure::Failure;
use super::output::{Console, say, settings, table};
use super::paths::Paths;
use crate::bundled::BUNDLED;
use crate::settings::{Problem, check};
use prx_base::config::keys::{KEYS, Key, Type};
use prx_base::config::{Changes, Config, Invalid, Overrides};
use prx_host::on_disk;

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
        /// Its value; several make a list, and `null` takes the key out
        #[arg(required = true, allow_hyphen_values = true)]
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
        Command::Set { key, values } => {
            let changes = Map::from_iter([(key.clone(), parse_value(&key, values))]);
            let sent = Payload::Json(Value::Object(changes));
            let done = console.gateway.send(Method::PATCH, "/api/v1/config", sent).await?;
            console.show(&done, |done| match done["reload_required"] == true {
                true => format!("{key} is written down, and felt after a restart of the gateway"),
                false => format!("{key} is in force"),
            })
        }
        Command::Keys => console
            .show(&reference(), |keys| table(&keys["keys"], &["key", "takes", "default", "change", "about"])),
        Command::Check => {
            let loaded = paths.file(Overrides::default()).load()?;
            let path = loaded.file.path();
            let problems = problems(paths, &loaded.config);
            if !problems.is_empty() {
                return Err(Invalid::of(path, problems).into());
            }
            let path = path.display().to_string();
            let text = if loaded.text.is_some() { "is fine" } else { "is not there: the defaults serve" };
            match console.json {
                true => say(&json!({"file": path, "exists": loaded.text.is_some()}).to_string()),
                false => say(&format!("{path} {text}")),
            }
        }
    }
}

/// What is wrong with the tables that belong to plugins, from the plugins there are on disk.
pub(super) fn problems(paths: &Paths, config: &Config) -> Vec<Problem> {
    let known =
        on_disk(BUNDLED, &paths.data_dir).into_iter().filter_map(|(name, known)| Some((name, known.ok()?)));
    check(Changes { before: &Config::default(), after: config }, &known.collect())
}

/// Every key whose table belongs to the kernel.
fn reference() -> Value {
    let defaults = json!(Config::default());
    let row = |key: &Key| {
        let (section, name) = key.path.split_once('.').unwrap_or_default();
        let change = if key.restart { "restart" } else { "at once" };
        let default = &defaults[section][name];
        json!({"key": key.path, "takes": key.ty.describe(), "default": default, "change": change, "about": key.about})
    };
    json!({"keys": KEYS.iter().map(row).collect::<Vec<_>>()})
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
    let declared = KEYS.iter().find(|known| known.path == key).map(|known| known.ty);
    let typed = |text: String| match declared {
        Some(Type::Text | Type::OneOf(_) | Type::TextList | Type::Networks) => Value::String(text),
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
        assert_eq!(set("gateway.allowed_hosts", &["[]"]), json!([]));
        assert_eq!(set("gateway.allowed_hosts", &["a", "b"]), json!(["a", "b"]));
        assert_eq!(set("channels_config.work.bot_token", &["12:ab"]), "12:ab");
        assert_eq!(set("channels_config.work.allowed_users", &["7", "8"]), json!(["7", "8"]));
        assert_eq!(set("channels_config.work", &["{\"a\": 1}"]), json!({"a": 1}));
    }
}
