//! What the operator configured: typed sections, where they come from, and who is told when they change.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::changes::Changes;
pub use self::file::{File, Loaded, Overrides};
pub use self::live::Live;
pub use self::load::Invalid;
pub use self::patch::{Patched, patch};
pub use self::secret::{REDACTED, Secret};
pub use self::sections::{Agent, Policy, Provider, Tools};

mod changes;
mod check;
mod file;
pub mod keys;
mod live;
mod load;
mod patch;
mod secret;
mod sections;

/// A table whose keys belong to a plugin, as written. The plugin's manifest says which keys there are and
/// which of them are secret; nothing in here is resolved or checked yet.
pub type Settings = Map<String, Value>;

/// The whole configuration, `prx.toml` with every default filled in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where the API listens and whom it lets in.
    pub gateway: Gateway,
    /// How turns are run and when sessions end.
    pub agent: Agent,
    /// Which model answers.
    pub provider: Provider,
    /// What models may do with tools.
    pub tools: Tools,
    /// What the agent remembers between sessions.
    pub memory: Memory,
    /// Where the gateway keeps its data.
    pub store: Store,
    /// Requests per second for each token.
    pub rate_limits: RateLimits,
    /// What is logged.
    pub logs: Logs,
    /// How components are looked after.
    pub plugins: Plugins,
    /// Outgoing webhooks.
    pub hooks: Hooks,
    /// The tables that name components and what they get.
    #[serde(flatten)]
    pub components: Components,
}

/// The tables keyed by the name of a channel, provider, plugin or server.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Components {
    /// `[channels_config.<channel>]`
    pub channels_config: BTreeMap<String, Settings>,
    /// `[providers_config.<plugin>]`
    pub providers_config: BTreeMap<String, Settings>,
    /// `[plugins_config.<plugin>]`
    pub plugins_config: BTreeMap<String, Settings>,
    /// `[mcp_servers.<server>]`
    pub mcp_servers: BTreeMap<String, Settings>,
    /// `[grants.<plugin>]`
    pub grants: BTreeMap<String, Grant>,
}

/// The names only: what is in the tables may be secret.
impl fmt::Debug for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Components")
            .field("channels_config", &self.channels_config.keys())
            .field("providers_config", &self.providers_config.keys())
            .field("plugins_config", &self.plugins_config.keys())
            .field("mcp_servers", &self.mcp_servers.keys())
            .field("grants", &self.grants)
            .finish()
    }
}

/// `[gateway]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gateway {
    /// Address to bind.
    pub host: String,
    /// Port to bind; 0 takes any free one.
    pub port: u16,
    /// Further `Host` names that requests may carry.
    pub allowed_hosts: Vec<String>,
    /// Foreign origins that browsers may call from.
    pub cors_origins: Vec<String>,
    /// Largest request body, in bytes.
    pub max_body_bytes: u64,
    /// PEM file with the certificate chain; empty: plain HTTP.
    pub tls_cert: String,
    /// PEM file with the private key.
    pub tls_key: String,
    /// A proxy terminates TLS in front of the gateway.
    pub behind_proxy: bool,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 3120,
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            max_body_bytes: 1 << 20,
            tls_cert: String::new(),
            tls_key: String::new(),
            behind_proxy: false,
        }
    }
}

/// `[memory]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Where entries are kept.
    pub backend: String,
    /// Entries that a turn recalls.
    pub top_k: u32,
}

impl Default for Memory {
    fn default() -> Self {
        Self { backend: "redb".into(), top_k: 5 }
    }
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Store {
    /// Empty: redb in the data directory.
    pub url: String,
    /// The largest image or file that is kept of a message, in bytes.
    pub blob_max_bytes: u64,
    /// What all of them may take, in bytes; where a new one needs room, the oldest go.
    pub blobs_max_bytes: u64,
    /// Days that each is kept.
    pub blobs_days: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self { url: String::new(), blob_max_bytes: 20 << 20, blobs_max_bytes: 2 << 30, blobs_days: 30 }
    }
}

/// `[rate_limits]`: requests per second for each token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimits {
    /// Whether requests are limited at all.
    pub enabled: bool,
    /// Creating and ending sessions, sending messages.
    pub sessions_write: u32,
    /// Reading sessions.
    pub sessions_read: u32,
    /// Changing the configuration.
    pub config_write: u32,
    /// Everything else.
    pub other: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { enabled: true, sessions_write: 10, sessions_read: 50, config_write: 5, other: 30 }
    }
}

/// `[logs]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logs {
    /// Least level that is kept: `trace`, `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// Entries that `GET /logs` can look back on.
    pub retain_entries: u32,
}

impl Default for Logs {
    fn default() -> Self {
        Self { level: "info".into(), retain_entries: 10_000 }
    }
}

/// `[plugins]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plugins {
    /// Reload a plugin when its file changes.
    pub watch: bool,
}

/// `[hooks]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// May hook URLs point to loopback and private addresses.
    pub allow_private: bool,
}

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
    /// A private directory. Has no effect: this version serves none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<bool>,
}
