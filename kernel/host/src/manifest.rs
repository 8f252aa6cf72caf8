//! `plugin.toml`: what a plugin says about itself and what it asks for. Asking is all it can do.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

pub use self::settings::PluginConfig;
use self::values::{NAME_RULE, duration, name, origins, size, version};
pub use self::values::{format_size, parse_size, valid_name};
pub use self::verification::{Encoding, Scheme, Verification};
use prx_base::config::keys::nearest;
use prx_egress::{Origin, Pattern};

mod settings;
mod values;
mod verification;

/// A plugin's manifest, known to be free of mistakes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Who it is.
    pub plugin: About,
    /// What it asks for.
    #[serde(default)]
    pub permissions: Permissions,
    /// How far it goes at most.
    #[serde(default)]
    pub limits: Limits,
    /// How its instances may be used.
    #[serde(default)]
    pub instance: Instance,
    /// Only with the capability `channel`.
    pub channel: Option<Channel>,
    /// What its provider takes.
    #[serde(default)]
    pub provider: Provider,
    /// When its jobs run.
    #[serde(default)]
    pub schedule: Vec<Schedule>,
    /// The configuration keys it takes.
    #[serde(default)]
    pub config: BTreeMap<String, Spanned<Key>>,
}

/// `[plugin]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The name it is installed under.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Its version, for people.
    #[serde(deserialize_with = "version")]
    pub version: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// An SPDX expression.
    #[serde(default)]
    pub license: String,
    /// Where to read more.
    #[serde(default)]
    pub homepage: String,
}

/// `[permissions]`
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Permissions {
    /// Origins it calls.
    #[serde(deserialize_with = "origins")]
    pub http: Vec<String>,
    /// Configuration keys whose secret goes into its requests.
    pub secrets: Vec<String>,
    /// Bytes it keeps.
    #[serde(deserialize_with = "size")]
    pub kv: Option<u64>,
    /// Whether it sees what the agent remembers.
    pub memory: Option<MemoryAccess>,
    /// A private directory.
    pub files: bool,
    /// What it says and hears on the bus.
    pub events: EventPatterns,
    /// Tools of others that it calls.
    pub tools: Vec<String>,
}

/// `permissions.memory`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemoryAccess {
    /// Recall.
    Read,
    /// Recall, add and forget.
    Write,
}

impl MemoryAccess {
    /// The word for it in a manifest and in a grant.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// `permissions.events`
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventPatterns {
    /// Kinds it publishes, such as `weather.*`.
    pub publish: Vec<String>,
    /// Kinds it is told of.
    pub subscribe: Vec<String>,
}

/// `[limits]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of all memories and tables of an instance.
    #[serde(deserialize_with = "size")]
    pub memory: Option<u64>,
    /// Time that a call computes.
    #[serde(deserialize_with = "duration")]
    pub cpu: Option<Duration>,
    /// Time that a call takes, waiting included.
    #[serde(deserialize_with = "duration")]
    pub deadline: Option<Duration>,
}

/// `[instance]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Instance {
    /// A clean instance may serve the next call.
    pub reuse: bool,
}

/// `[channel]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// What its platform can do beyond sending text.
    #[serde(default)]
    pub features: Vec<Feature>,
    /// Version of the state that its connector writes.
    #[serde(default = "first_version")]
    pub state_version: u32,
    /// Characters that fit in one message.
    pub max_text: Option<u32>,
    /// What its platform's webhooks are checked by before the connector sees them. Without it, that is the
    /// connector's own work.
    pub webhook: Option<Spanned<Verification>>,
    /// After a crash its platform sends again what no message came of. If it does not, every step is put on disk.
    #[serde(default = "yes")]
    pub replays: bool,
    /// Its platform calls when it has something to say, and says nothing in between: that nothing is heard from it is no
    /// sign of anything.
    #[serde(default)]
    pub quiet: bool,
}

/// One thing that a platform can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    /// Change a sent message.
    Edit,
    /// Take a sent message back.
    Delete,
    /// Show that an answer is being written.
    Typing,
    /// Show an answer while it grows.
    Draft,
    /// Answer with an emoji.
    React,
    /// Offer choices.
    Ask,
    /// Send and receive media.
    Attachments,
    /// Take a message only once, however often it is sent under the same id.
    Nonce,
}

/// `[provider]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Provider {
    /// What tools return for the eye is shown to it, in a user's message that follows their results.
    pub pictures: bool,
}

/// `[[schedule]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The job's name.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// When it runs.
    pub cron: String,
}

/// `[config.<key>]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What the value must be.
    pub r#type: Type,
    /// The value never reaches the plugin; requests that name it get it put in.
    #[serde(default)]
    pub secret: bool,
    /// The plugin does not work without it.
    #[serde(default)]
    pub required: bool,
    /// What it is when the operator says nothing.
    pub default: Option<serde_json::Value>,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// What else setting it means.
    pub extends: Option<Extends>,
}

/// Type of a configuration value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list of texts.
    Array,
}

/// What an operator grants by setting a configuration key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Extends {
    /// The origin of the URL that the key holds.
    Http,
}

/// A mistake in a manifest: where it is and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    line: usize,
    key: String,
    message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin.toml line {}: ", self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Whether its connector's platform can do this.
    pub fn can(&self, feature: Feature) -> bool {
        self.channel.as_ref().is_some_and(|channel| channel.features.contains(&feature))
    }

    /// Reads a manifest. Anything that is not understood is an error, the first one is reported.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text).map_err(|error| explain(text, error))?;
        for (name, key) in &manifest.config {
            if let Err(message) = manifest.check_key(name, key.get_ref()) {
                let line = line_of(text, key.span().start);
                return Err(ManifestError { line, key: format!("config.{name}"), message });
            }
        }
        manifest.check_webhook(text)?;
        for secret in &manifest.permissions.secrets {
            if !manifest.config.get(secret).is_some_and(|key| key.get_ref().secret) {
                let line = text
                    .lines()
                    .position(|line| line.trim_start().starts_with("secrets"))
                    .map_or(1, |n| n + 1);
                let message = format!("`{secret}` is no configuration key with secret = true");
                return Err(ManifestError { line, key: "permissions.secrets".into(), message });
            }
        }
        Ok(manifest)
    }

    /// The configuration keys by name.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &Key)> {
        self.config.iter().map(|(name, key)| (name.as_str(), key.get_ref()))
    }

    fn check_webhook(&self, text: &str) -> Result<(), ManifestError> {
        let Some(webhook) = self.channel.as_ref().and_then(|channel| channel.webhook.as_ref()) else {
            return Ok(());
        };
        let (rule, line) = (webhook.get_ref(), line_of(text, webhook.span().start));
        let wrong = |message: String| Err(ManifestError { line, key: "channel.webhook".into(), message });
        if let Err(message) = rule.check() {
            return wrong(message.into());
        }
        match self.config.get(&rule.secret).is_some_and(|key| key.get_ref().secret) {
            true => Ok(()),
            false => wrong(format!("`{}` is no configuration key with secret = true", rule.secret)),
        }
    }

    fn check_key(&self, name: &str, key: &Key) -> Result<(), String> {
        if !valid_name(name) || name == "plugin" {
            return Err(format!("a key is {NAME_RULE}, and not `plugin`"));
        }
        if key.secret && (key.r#type != Type::String || key.default.is_some() || key.extends.is_some()) {
            return Err("a secret is a string with neither default nor extends".into());
        }
        if key.secret && !self.permissions.secrets.iter().any(|secret| secret == name) {
            return Err(format!("a secret that no request may carry: add \"{name}\" to permissions.secrets"));
        }
        if key.required && key.default.is_some() {
            return Err("either required or with a default".into());
        }
        if key.extends.is_some() && key.r#type != Type::String {
            return Err("extends = \"http\" takes a string that holds a URL".into());
        }
        let Some(default) = &key.default else { return Ok(()) };
        key.r#type.check(default).map_err(|wanted| format!("the default must be {wanted}"))?;
        match (key.extends, default.as_str()) {
            (Some(Extends::Http), Some(url)) if !url.is_empty() => self.check_default_url(url),
            _ => Ok(()),
        }
    }

    /// A default is the plugin's word, so it needs the permission that an operator's word would give.
    fn check_default_url(&self, url: &str) -> Result<(), String> {
        let origin = Origin::reached_by(url).map_err(|error| format!("the default is no URL: {error}"))?;
        let covers = |asked: &String| Pattern::parse(asked).is_ok_and(|asked| asked.covers(&origin));
        let asked = self.permissions.http.iter().any(covers);
        if asked { Ok(()) } else { Err(format!("its default needs permissions.http to have \"{origin}\"")) }
    }
}

impl Type {
    /// Whether a value is of this type. The error says what it would have to be.
    pub fn check(self, value: &serde_json::Value) -> Result<(), &'static str> {
        let (fits, wanted) = match self {
            Self::String => (value.is_string(), "a text in quotes"),
            Self::Integer => (value.is_i64() || value.is_u64(), "a whole number"),
            Self::Number => (value.is_number(), "a number"),
            Self::Boolean => (value.is_boolean(), "true or false"),
            Self::Array => (
                value.as_array().is_some_and(|items| items.iter().all(serde_json::Value::is_string)),
                "a list of texts in quotes",
            ),
        };
        if fits { Ok(()) } else { Err(wanted) }
    }
}

/// Turns the parser's error into one that names the line, the key and the nearest word that would do.
fn explain(text: &str, mut error: toml::de::Error) -> ManifestError {
    let line = line_of(text, error.span().map_or(0, |span| span.start));
    let mut message = error.message().trim_end().replace('\n', ", ");
    // Without the input the parser's own text is the message, then the key in backticks on a line of its own.
    error.set_input(None);
    let shown = error.to_string();
    let key = shown.rsplit("in `").next().filter(|_| shown.contains("\nin `")).unwrap_or_default();
    let key = key.trim_end().trim_end_matches('`').to_owned();
    if let Some(("unknown", what)) = message.split_once(' ') {
        let what = if what.starts_with("field") { "key" } else { "value" };
        let mut words = message.split('`').skip(1).step_by(2);
        let (word, known) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
        message = match nearest(word, known.iter().copied()) {
            Some(near) => format!("{word:?} is no {what} there is; did you mean \"{near}\"?"),
            None => format!("{word:?} is no {what} there is; there are: {}", known.join(", ")),
        };
    }
    ManifestError { line, key, message }
}

fn first_version() -> u32 {
    1
}

fn yes() -> bool {
    true
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
