//! The configuration as it may be shown.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::channel;
use crate::config::{Config, REDACTED};
use crate::plugin::Known;

/// Every key with its value, but for secrets: what a plugin's manifest calls one, what a server's process or
/// requests are given, and where nobody says, what sounds like one.
pub(super) fn redacted(config: &Config, plugins: &BTreeMap<String, Known>) -> Value {
    let mut shown = serde_json::to_value(config).unwrap_or_default();
    for section in ["channels_config", "providers_config", "plugins_config"] {
        for (name, table) in tables(&mut shown, section) {
            let plugin = if section == "channels_config" { channel::plugin(name, table) } else { name };
            let manifest = plugins.get(plugin).map(|known| &known.manifest);
            for (key, value) in table {
                match manifest.and_then(|manifest| manifest.config.get(key)) {
                    Some(declared) if declared.get_ref().secret => hide(value),
                    Some(_) => hide_credentials(value),
                    None => hide_suspect(key, value),
                }
            }
        }
    }
    for (_, server) in tables(&mut shown, "mcp_servers") {
        for (key, value) in server {
            match (key.as_str(), value) {
                ("env" | "headers", Value::Object(given)) => given.values_mut().for_each(hide),
                (_, value) => hide_suspect(key, value),
            }
        }
    }
    shown
}

fn tables<'a>(
    shown: &'a mut Value,
    section: &str,
) -> impl Iterator<Item = (&'a String, &'a mut Map<String, Value>)> {
    let section = shown.get_mut(section).and_then(Value::as_object_mut);
    section.into_iter().flatten().filter_map(|(name, table)| Some((name, table.as_object_mut()?)))
}

fn hide(value: &mut Value) {
    *value = REDACTED.into();
}

fn hide_suspect(key: &str, value: &mut Value) {
    let key = key.to_lowercase();
    match value {
        Value::Bool(_) | Value::Number(_) | Value::Null => {}
        _ if ["token", "secret", "password", "passwd", "key", "credential"]
            .iter()
            .any(|w| key.contains(w)) =>
        {
            hide(value);
        }
        Value::Object(fields) => fields.iter_mut().for_each(|(key, value)| hide_suspect(key, value)),
        _ => hide_credentials(value),
    }
}

/// A URL may carry a password or a token.
fn hide_credentials(value: &mut Value) {
    let url = value.as_str().and_then(|text| url::Url::parse(text).ok());
    let carries = |url: url::Url| {
        url.has_authority()
            && (url.password().is_some() || !url.username().is_empty() || url.query().is_some())
    };
    if url.is_some_and(carries) {
        hide(value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_knows_is_judged_by_its_name() {
        let config: Config = serde_json::from_value(json!({
            "channels_config": {"work": {"plugin": "gone", "bot_token": "canary", "allowed_users": ["7"]}},
            "plugins_config": {"x": {"API_KEY": ["canary"], "port": 7, "nested": {"password": "canary"}}},
            "providers_config": {"y": {"base_url": "https://u:canary@example.com/"}},
            "mcp_servers": {"z": {
                "command": "run", "env": {"HOME": "canary"}, "url": "https://example.com/?t=canary",
                "headers": {"authorization": "canary"},
            }},
        }))
        .unwrap();
        let shown = redacted(&config, &BTreeMap::new());
        assert!(!shown.to_string().contains("canary"), "{shown}");
        assert_eq!(shown["channels_config"]["work"]["bot_token"], REDACTED);
        assert_eq!(shown["channels_config"]["work"]["allowed_users"], json!(["7"]));
        assert_eq!(shown["plugins_config"]["x"]["port"], 7);
        assert_eq!(shown["mcp_servers"]["z"]["env"], json!({"HOME": REDACTED}));
        assert_eq!(shown["agent"]["max_turns"], 50);
    }
}
