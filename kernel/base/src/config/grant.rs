//! What the operator allows a plugin.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// The quota of a private directory that is asked for or granted with `files = true`.
pub const DEFAULT_FILES: &str = "64MiB";

/// `[grants.<plugin>]`: what the operator allows a plugin. What is left out is not granted, but for what a
/// bundled plugin asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Grant {
    /// Origins it may call, such as `https://api.open-meteo.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Vec<String>>,
    /// Configuration keys whose secret it may have put into its requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
    /// Bytes it may keep, such as `1MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv: Option<String>,
    /// `read` or `write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Where it may say something unasked: `channel`, or `channel/conversation`, with `*` for any piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<Vec<String>>,
    /// Whether it may begin turns where it may say something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<bool>,
    /// Who is asked about the tools of those turns, by the platform's id; without it they are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
    /// Events that it may make and see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<EventGrant>,
    /// Prefixes of paths that it may serve, such as `/v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
    /// Whether its routes may be called without a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Bytes that it may keep in files of a private directory, such as `64MiB`, which is what `true` stands for.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "files")]
    #[schemars(with = "Option<FilesGrant>")]
    pub files: Option<String>,
    /// Configuration keys that were secret once, and whose values it may read from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reveal: Option<Vec<String>>,
}

/// `[grants.<plugin>] events`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EventGrant {
    /// Events of its own that it may make, as `<plugin>.<name>`, with `*` for any piece.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// Events that it may see, in the same way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
}

/// `[grants.<plugin>] files`, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "takes true, false or a size such as \"64MiB\"")]
pub enum FilesGrant {
    /// Yes, up to [`DEFAULT_FILES`], or no.
    Flag(bool),
    /// Up to so many bytes.
    Size(String),
}

impl FilesGrant {
    /// The size it stands for.
    pub fn into_size(self) -> String {
        match self {
            Self::Flag(true) => DEFAULT_FILES.into(),
            Self::Flag(false) => "0B".into(),
            Self::Size(size) => size,
        }
    }
}

fn files<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<FilesGrant>::deserialize(input)?.map(FilesGrant::into_size))
}
