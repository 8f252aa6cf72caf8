//! What the operator configured for a plugin, held against the keys that its manifest declares.

use serde_json::{Map, Value};

use super::schema::{Extends, Key, Manifest, Type};
use super::tables;
use super::values::is_place;
use prx_base::config::keys::nearest;
use prx_base::config::{Secret, Settings};
use prx_egress::{Origin, Secrets};

/// A plugin's configuration, checked: what it may see, apart from what it may only name.
#[derive(Debug, Clone, Default)]
pub struct PluginConfig {
    /// A JSON object with every default filled in, without the secrets.
    pub json: String,
    /// The values of its secret keys.
    pub secrets: Secrets,
    /// Origins of the URLs that the operator wrote under keys with `extends = "http"`.
    pub origins: Vec<Origin>,
    /// The conversations that the operator wrote under keys with `extends = "send"`, as `channel/conversation`.
    pub places: Vec<String>,
}

impl Manifest {
    /// Holds the operator's settings against the declared keys, fills in defaults and resolves secrets, which
    /// are written literally, as `env:NAME` or as `file:PATH`.
    ///
    /// # Errors
    /// Everything that is wrong, each naming its key and what to do about it.
    pub fn check_config(&self, settings: &Settings) -> Result<PluginConfig, Vec<String>> {
        let mut problems: Vec<String> = settings
            .keys()
            .filter(|name| !self.config.contains_key(*name))
            .map(|name| self.unknown_key(name))
            .collect();
        let (mut shown, mut secrets) = (Map::new(), Vec::new());
        let (mut origins, mut places) = (Vec::new(), Vec::new());
        for (name, key) in self.keys() {
            match check(key, settings.get(name)) {
                Ok(None) => {}
                Ok(Some(Checked::Plain(value))) => {
                    shown.insert(name.to_owned(), value);
                }
                Ok(Some(Checked::Origin(url, origin))) => {
                    shown.insert(name.to_owned(), url);
                    origins.extend(origin);
                }
                Ok(Some(Checked::Place(place))) => {
                    shown.insert(name.to_owned(), place.clone().into());
                    places.push(place);
                }
                Ok(Some(Checked::Secret(secret))) => secrets.push((name.to_owned(), secret)),
                Ok(Some(Checked::Headers(table))) => match tables::headers(table) {
                    Ok(headers) => secrets.extend(
                        headers.into_iter().map(|(header, value)| (format!("{name}.{header}"), value)),
                    ),
                    Err(wrong) => problems.extend(wrong.iter().map(|problem| format!("{name}{problem}"))),
                },
                Err(problem) => problems.push(format!("{name}: {problem}")),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let secrets = secrets.into_iter().collect();
        Ok(PluginConfig { json: Value::Object(shown).to_string(), secrets, origins, places })
    }

    /// The secrets that the settings name as `env:NAME` or `file:PATH` and that are not there: their keys, and why.
    pub fn unresolved(&self, settings: &Settings) -> Vec<(String, String)> {
        let mut named: Vec<(String, &str)> = Vec::new();
        for (name, _) in self.keys().filter(|(_, key)| key.secret) {
            match settings.get(name) {
                Some(Value::String(text)) => named.push((name.to_owned(), text)),
                Some(Value::Object(table)) => named.extend(table.iter().filter_map(|(entry, value)| {
                    Some((format!("{name}.{entry}"), tables::without_scheme(value.as_str()?).1))
                })),
                _ => {}
            }
        }
        named.into_iter().filter_map(|(name, text)| Some((name, Secret::unresolved(text)?))).collect()
    }

    fn unknown_key(&self, name: &str) -> String {
        let known: Vec<&str> = self.keys().map(|(known, _)| known).collect();
        match nearest(name, known.iter().copied()) {
            Some(near) => format!("{name}: is no key there is; did you mean \"{near}\"?"),
            None if known.is_empty() => {
                format!("{name}: is no key there is; {} takes no configuration", self.plugin.name)
            }
            None => format!("{name}: is no key there is; there are: {}", known.join(", ")),
        }
    }
}

impl Key {
    /// Whether a text is one of the words that it may be.
    pub(super) fn check_words(&self, value: &Value) -> Result<(), String> {
        let is_one = |text: &str| text.is_empty() || self.values.iter().any(|word| word == text);
        match value.as_str() {
            Some(text) if !self.values.is_empty() && !is_one(text) => {
                Err(format!("must be one of {}, not {text:?}", self.values.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

enum Checked<'a> {
    Plain(Value),
    Headers(&'a Map<String, Value>),
    Origin(Value, Option<Origin>),
    Place(String),
    Secret(Secret),
}

fn check<'a>(key: &Key, value: Option<&'a Value>) -> Result<Option<Checked<'a>>, String> {
    let Some(value) = value else {
        if key.required {
            let about =
                if key.description.is_empty() { String::new() } else { format!(" ({})", key.description) };
            return Err(format!("required, and not set{about}"));
        }
        return Ok(key.default.clone().map(Checked::Plain));
    };
    key.r#type.check(value).map_err(|wanted| format!("must be {wanted}"))?;
    key.check_words(value)?;
    if let Value::Object(table) = value {
        return match key.r#type {
            Type::Headers => Ok(Some(Checked::Headers(table))),
            _ => tables::check(table, &key.reserved).map(|()| Some(Checked::Plain(value.clone()))),
        };
    }
    match (value.as_str(), key.extends) {
        (Some(""), _) if key.required => Err("required, and empty".into()),
        (Some(text), _) if key.secret => Secret::resolve(text).map(|secret| Some(Checked::Secret(secret))),
        (Some(""), Some(Extends::Http)) => Ok(Some(Checked::Origin(value.clone(), None))),
        (Some(url), Some(Extends::Http)) => {
            let origin = Origin::reached_by(url).map_err(|error| error.to_string())?;
            Ok(Some(Checked::Origin(value.clone(), Some(origin))))
        }
        (Some(place), Some(Extends::Send)) if !place.is_empty() => match place.split_once('/') {
            Some((channel, conversation))
                if !channel.is_empty()
                    && !conversation.is_empty()
                    && is_place(place)
                    && !place.contains('*') =>
            {
                Ok(Some(Checked::Place(place.to_owned())))
            }
            _ => Err(format!("must be a conversation, written `channel/conversation`, not {place:?}")),
        },
        _ => Ok(Some(Checked::Plain(value.clone()))),
    }
}
