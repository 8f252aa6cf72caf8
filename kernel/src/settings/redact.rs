//! The configuration as it may be shown.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::secrecy::Secrecy;
use prx_base::config::{Config, REDACTED, sounds_secret};
use prx_base::error::Result;
use prx_host::Known;

/// Every key with its value, but for secrets: what a plugin's manifest calls one or ever called one, what a server's
/// process or requests are given, and where nobody says, what sounds like one.
///
/// # Errors
/// What was secret can't be read from the store.
pub(super) fn redacted(config: &Config, secrecy: &Secrecy<'_>) -> Result<Value> {
    let mut shown = serde_json::to_value(config).unwrap_or_default();
    for section in ["channels_config", "providers_config", "plugins_config"] {
        for (name, table) in tables(&mut shown, section) {
            let written = table.clone();
            let known = secrecy.table(section, name, &written)?;
            for (key, value) in table {
                match known.is_declared(key) {
                    true if known.is_secret(key) => hide_secret(value),
                    _ if known.is_secret(key) => hide(value),
                    true if value.is_object() => hide_suspect("", value),
                    true => hide_credentials(value),
                    false => hide_suspect(key, value),
                }
            }
        }
    }
    for address in ["/egress/proxy", "/telemetry/otlp_endpoint"] {
        if let Some(address) = shown.pointer_mut(address) {
            hide_credentials(address);
        }
    }
    if let Some(Value::Object(headers)) = shown.pointer_mut("/telemetry/headers") {
        headers.values_mut().for_each(hide);
    }
    for (_, server) in tables(&mut shown, "mcp_servers") {
        for (key, value) in server {
            match (key.as_str(), value) {
                ("env" | "headers", Value::Object(given)) => given.values_mut().for_each(hide),
                ("args", Value::Array(given)) => hide_arguments(given),
                (_, value) => hide_suspect(key, value),
            }
        }
    }
    Ok(shown)
}

/// The same where no gateway runs: for all that is known of the plugins that lie on the disk.
///
/// # Errors
/// None: nothing is read from a store.
pub(crate) fn redacted_on_disk(config: &Config, known: BTreeMap<String, Known>) -> Result<Value> {
    redacted(config, &Secrecy::new(known, |_| Ok(BTreeSet::new())))
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

/// Hides what a plugin calls a secret: of headers, what is in them.
fn hide_secret(value: &mut Value) {
    match value {
        Value::Object(headers) => headers.values_mut().for_each(hide),
        value => hide(value),
    }
}

fn hide_suspect(key: &str, value: &mut Value) {
    match value {
        Value::Bool(_) | Value::Number(_) | Value::Null => {}
        _ if sounds_secret(key) => hide(value),
        Value::Object(fields) => fields.iter_mut().for_each(|(key, value)| hide_suspect(key, value)),
        Value::Array(items) => items.iter_mut().for_each(|item| hide_suspect("", item)),
        Value::String(_) => hide_credentials(value),
    }
}

/// Of a command's arguments, what sounds like a secret or follows what does: `--api-key`, `k`.
fn hide_arguments(arguments: &mut [Value]) {
    let mut awaited = false;
    for argument in arguments {
        let text = argument.as_str().unwrap_or_default();
        let (suspect, flag) = (sounds_secret(text), text.starts_with('-') && !text.contains(['=', ' ']));
        let hidden = awaited || (suspect && !flag);
        awaited = suspect && flag;
        if hidden { hide(argument) } else { hide_credentials(argument) }
    }
}

/// A URL may carry a password or a token.
fn hide_credentials(value: &mut Value) {
    if let Value::Array(items) = value {
        return items.iter_mut().for_each(hide_credentials);
    }
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
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_knows_is_judged_by_its_name() {
        let config: Config = serde_json::from_value(json!({
            "channels_config": {"work": {"plugin": "gone", "bot_token": "canary", "allowed_users": ["7"]}},
            "plugins_config": {"x": {"API_KEY": ["canary"], "port": 7, "pin": "canary", "nested": {"password": "canary"},
                "accounts": [{"name": "a", "token": "canary"}], "mirrors": ["https://u:canary@example.com/"]}},
            "providers_config": {"y": {"base_url": "https://u:canary@example.com/"}},
            "mcp_servers": {"z": {
                "command": "run", "env": {"HOME": "canary"}, "url": "https://example.com/?t=canary",
                "headers": {"authorization": "canary"},
                "args": [
                    "--api-key", "canary", "--token=canary", "-v", "--header", "Authorization: Bearer canary",
                    "postgresql://u:canary@db/x", "--port", "80",
                ],
            }},
        }))
        .unwrap();
        let once_secret =
            |name: &str| Ok(BTreeSet::from([if name == "x" { "pin" } else { "none" }.to_owned()]));
        let shown = redacted(&config, &Secrecy::new(BTreeMap::new(), once_secret)).unwrap();
        assert!(!shown.to_string().contains("canary"), "{shown}");
        assert_eq!(shown["channels_config"]["work"]["bot_token"], REDACTED);
        assert_eq!(shown["channels_config"]["work"]["allowed_users"], json!(["7"]));
        assert_eq!(shown["plugins_config"]["x"]["port"], 7);
        assert_eq!(shown["mcp_servers"]["z"]["env"], json!({"HOME": REDACTED}));
        let args = ["--api-key", REDACTED, REDACTED, "-v", "--header", REDACTED, REDACTED, "--port", "80"];
        assert_eq!(shown["mcp_servers"]["z"]["args"], json!(args));
        assert_eq!(shown["plugins_config"]["x"]["accounts"], json!([{"name": "a", "token": REDACTED}]));
        assert_eq!(shown["agent"]["max_turns"], 50);
    }
}
