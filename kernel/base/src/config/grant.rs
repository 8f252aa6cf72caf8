//! What the operator allows a plugin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// A private directory. Has no effect: this version serves none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<bool>,
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
