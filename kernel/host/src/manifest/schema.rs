//! The tables and keys of a manifest.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use semver::VersionReq;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::routes::Routes;
use super::schedule::Schedule;
use super::values::{duration, files, name, origins, requirement, size, version};
use super::verification::Verification;

/// A plugin's manifest, known to be free of mistakes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Who it is.
    pub plugin: About,
    /// What it needs to work.
    #[serde(default)]
    pub requires: Requires,
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
    /// Only with the capability `agent`.
    pub agent: Option<Agent>,
    /// What its provider takes.
    #[serde(default)]
    pub provider: Provider,
    /// What it serves over HTTP; only with the capability `route`.
    pub routes: Option<Routes>,
    /// When its jobs run; only with the capability `job`.
    #[serde(default)]
    pub schedule: Vec<Spanned<Schedule>>,
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
    /// Its version: semver, but for what was installed before that was asked for; see [`About::semver`].
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

/// `[requires]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requires {
    /// The versions of the gateway that it works with; without it, any.
    #[serde(deserialize_with = "requirement")]
    pub prx: Option<VersionReq>,
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
    /// Where it says something unasked: `channel` or `channel/conversation`, with `*` for any piece.
    pub send: Vec<String>,
    /// Whether it begins turns, where it may say something.
    pub turns: bool,
    /// Events that it makes and sees.
    pub events: Events,
    /// Prefixes of paths that it serves, from `[routes]`.
    #[serde(skip_deserializing)]
    pub routes: Vec<String>,
    /// Whether its routes may be called without a token, from `[routes]`.
    #[serde(skip_deserializing)]
    pub public: bool,
    /// Bytes it keeps in files of a private directory.
    #[serde(deserialize_with = "files")]
    pub files: Option<u64>,
    /// Known, but not served: a manifest that asks for it is refused by this name.
    #[serde(skip_serializing)]
    #[schemars(skip)]
    pub(crate) tools: Option<Spanned<toml::Value>>,
}

/// `permissions.events`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Its own, as `<plugin>.<name>`, with `*` for any piece.
    pub publish: Vec<String>,
    /// Those that it sees, in the same way.
    pub subscribe: Vec<String>,
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

/// `[agent]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Version of the state that it writes.
    #[serde(default = "first_version")]
    pub state_version: u32,
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
    /// Of a text, the only words that it may be, besides none; where there are none, it may be any.
    #[serde(default)]
    pub values: Vec<String>,
    /// Of a table, the names that the operator can't give in it.
    #[serde(default)]
    pub reserved: Vec<String>,
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
    /// A table of any names, with any values.
    Table,
    /// A table of headers for requests. Each value is a secret of its own: the one under `X-Title` of the key `headers` is put in
    /// where a request has `{secret:headers.x-title}`.
    Headers,
}

/// What an operator grants by setting a configuration key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Extends {
    /// The origin of the URL that the key holds.
    Http,
    /// To say something in the conversation that the key holds, as `channel/conversation`.
    Send,
}

impl Manifest {
    /// Whether its connector's platform can do this.
    pub fn can(&self, feature: Feature) -> bool {
        self.channel.as_ref().is_some_and(|channel| channel.features.contains(&feature))
    }

    /// When its jobs run, in its order.
    pub fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        self.schedule.iter().map(Spanned::get_ref)
    }

    /// The configuration keys by name.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &Key)> {
        self.config.iter().map(|(name, key)| (name.as_str(), key.get_ref()))
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
            Self::Table => (value.is_object(), "a table, such as { top_k = 40 }"),
            Self::Headers => (value.is_object(), "a table of headers, such as { X-Title = \"PRX\" }"),
        };
        if fits { Ok(()) } else { Err(wanted) }
    }
}

fn first_version() -> u32 {
    1
}

fn yes() -> bool {
    true
}
