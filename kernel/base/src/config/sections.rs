//! The configuration as types: a section each, with its defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::filters::Filters;
use super::grant::Grant;
use super::keys;
use super::plugins::Plugins;
use super::telemetry::Telemetry;

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
    /// The way out to the network.
    pub egress: Egress,
    /// Requests per second for each token.
    pub rate_limits: RateLimits,
    /// What is logged.
    pub logs: Logs,
    /// Traces for a collector.
    pub telemetry: Telemetry,
    /// How components are looked after.
    pub plugins: Plugins,
    /// Outgoing webhooks.
    pub hooks: Hooks,
    /// What plugins do at set times.
    pub jobs: Jobs,
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
    /// `[agents.<agent>]`
    pub agents: BTreeMap<String, Settings>,
    /// `[grants.<plugin>]`
    pub grants: BTreeMap<String, Grant>,
    /// `[filters]`
    pub filters: Filters,
}

/// The names only: what is in the tables may be secret.
impl fmt::Debug for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Components")
            .field("channels_config", &self.channels_config.keys())
            .field("providers_config", &self.providers_config.keys())
            .field("plugins_config", &self.plugins_config.keys())
            .field("mcp_servers", &self.mcp_servers.keys())
            .field("agents", &self.agents.keys())
            .field("grants", &self.grants)
            .field("filters", &self.filters)
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
    /// A proxy at a loopback or private address terminates TLS in front of the gateway.
    pub behind_proxy: bool,
    /// Addresses and networks of the proxies in front of the gateway: what they say in `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// Seconds that a connection may be idle between two requests.
    pub idle_secs: u64,
    /// Seconds that a stop of the gateway may take in all.
    pub stop_secs: u64,
    /// Connections from the network that may be open at a time.
    pub max_connections: u64,
    /// Those of one address. Behind a proxy everyone has the proxy's, and only the other limit counts.
    pub max_connections_per_address: u64,
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
            trusted_proxies: Vec::new(),
            idle_secs: 75,
            stop_secs: 8,
            max_connections: 4096,
            max_connections_per_address: 2048,
        }
    }
}

impl Gateway {
    /// Whether a proxy stands in front of the gateway.
    pub fn has_proxy(&self) -> bool {
        self.behind_proxy || !self.trusted_proxies.is_empty()
    }

    /// Whether what the other end of a connection says of others is believed, as that of a proxy.
    pub fn trusts(&self, remote: IpAddr) -> bool {
        let private = match remote.to_canonical() {
            IpAddr::V4(address) => address.is_loopback() || address.is_private(),
            IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
        };
        (self.behind_proxy && private) || self.is_named_proxy(remote)
    }

    /// Whether an address is one of `trusted_proxies`.
    pub fn is_named_proxy(&self, address: IpAddr) -> bool {
        let mut named = self.trusted_proxies.iter().filter_map(|text| keys::network(text));
        named.any(|network| network.contains(&address.to_canonical()))
    }

    /// The time that a stop of the gateway may take until a share of it is over.
    pub fn stop_share(&self, share: f64) -> Duration {
        Duration::from_secs(self.stop_secs).mul_f64(share)
    }
}

/// `[agent]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// Turns after which a session ends.
    pub max_turns: u64,
    /// Tool calls that one turn may make.
    pub max_tool_calls_per_turn: u32,
    /// Seconds an idle session lives on before it is terminated.
    pub session_timeout_secs: u64,
    /// Seconds without activity after which an active session is idle.
    pub session_idle_secs: u64,
    /// Earlier messages that the provider is shown.
    pub history_messages: u32,
    /// Tokens that the provider is shown, by an estimate of four bytes each; 0: no bound.
    pub max_context_tokens: u64,
    /// Seconds after which a turn is given up.
    pub turn_timeout_secs: u64,
    /// Tokens that a session may cost; 0: no bound.
    pub max_tokens_per_session: u64,
    /// Tokens that all sessions together may cost in a day, UTC; 0: no bound.
    pub max_tokens_per_day: u64,
    /// Said to the provider before everything else.
    pub system_prompt: String,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            max_turns: 50,
            max_tool_calls_per_turn: 10,
            session_timeout_secs: 3600,
            session_idle_secs: 300,
            history_messages: 50,
            max_context_tokens: 100_000,
            turn_timeout_secs: 600,
            max_tokens_per_session: 0,
            max_tokens_per_day: 0,
            system_prompt: String::new(),
        }
    }
}

/// `[provider]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provider {
    /// The plugin that gives the capability `provider:<name>`.
    pub name: String,
    /// One of the models it lists.
    pub model: String,
    /// Who answers, in this order, when that one can't: `provider/model`.
    pub fallbacks: Vec<String>,
}

impl Default for Provider {
    fn default() -> Self {
        Self { name: "local".into(), model: "local-1".into(), fallbacks: Vec::new() }
    }
}

impl Provider {
    /// Who answers, and with which model, from the first to the last choice.
    pub fn choices(&self) -> impl Iterator<Item = (&str, &str)> {
        let first = (self.name.as_str(), self.model.as_str());
        let further = self.fallbacks.iter().filter_map(|choice| keys::provider_and_model(choice));
        std::iter::once(first).chain(further)
    }

    /// The same where a session names the model that answers, as `provider/model`: that one first, then the fallbacks.
    #[must_use]
    pub fn with_model(&self, choice: Option<&str>) -> Self {
        let Some((name, model)) = choice.and_then(keys::provider_and_model) else { return self.clone() };
        let is_other = |fallback: &&String| Some(fallback.as_str()) != choice;
        let fallbacks = self.fallbacks.iter().filter(is_other).cloned().collect();
        Self { name: name.to_owned(), model: model.to_owned(), fallbacks }
    }
}

/// `[tools]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tools {
    /// Seconds that one call may take.
    pub timeout_secs: u64,
    /// Bytes of a result; the rest is cut off.
    pub max_result_bytes: usize,
    /// What a model may do with a tool that `policy` does not name.
    pub default_policy: Policy,
    /// What a model may do with a tool, by its name; a name that ends with `*` stands for all that begin so.
    pub policy: BTreeMap<String, Policy>,
    /// Seconds that a person has to allow a call.
    pub ask_timeout_secs: u64,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            timeout_secs: 60,
            max_result_bytes: 64 << 10,
            default_policy: Policy::Allow,
            policy: BTreeMap::new(),
            ask_timeout_secs: 300,
        }
    }
}

/// What a model may do with a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ToolPolicy")]
pub enum Policy {
    /// Call it.
    Allow,
    /// Call it if the person it talks to agrees, each time.
    Ask,
    /// Not even know of it.
    Deny,
}

impl Tools {
    /// The policy for a tool: that of its name, or of the longest beginning of it that has one, or the default one.
    pub fn policy_of(&self, tool: &str) -> Policy {
        let begins = |name: &&String| name.strip_suffix('*').is_some_and(|begin| tool.starts_with(begin));
        let pattern = || self.policy.keys().filter(begins).max_by_key(|name| name.len());
        let named = self.policy.get(tool).or_else(|| self.policy.get(pattern()?));
        named.copied().unwrap_or(self.default_policy)
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
    /// Days after its last message that a session is kept which is over; 0: for ever.
    pub sessions_days: u32,
    /// Days that messages are kept; 0: for ever.
    pub messages_days: u32,
    /// Days that entries of the audit log are kept.
    pub audit_days: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: String::new(),
            blob_max_bytes: 20 << 20,
            blobs_max_bytes: 2 << 30,
            blobs_days: 30,
            sessions_days: 0,
            messages_days: 0,
            audit_days: 365,
        }
    }
}

/// `[egress]`
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Egress {
    /// PEM file with certificate authorities that are trusted beside the machine's.
    pub ca_file: String,
    /// An HTTP proxy; empty: as `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say; `direct`: none. May be `env:NAME` or
    /// `file:PATH`.
    pub proxy: String,
}

/// Without the proxy: its URL may hold a password.
impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("ca_file", &self.ca_file).finish_non_exhaustive()
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
    /// Least level of modules that have one of their own, by the name that `GET /logs` has for them.
    pub modules: BTreeMap<String, String>,
    /// A file that lines are written to, beside standard error; empty: none.
    pub file: String,
    /// Bytes at which it makes room for a new one; 0: it grows.
    pub file_max_bytes: u64,
    /// Files before it that are kept.
    pub file_keep: u32,
    /// Entries that `GET /logs` can look back on.
    pub retain_entries: u32,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            level: "info".into(),
            modules: BTreeMap::new(),
            file: String::new(),
            file_max_bytes: 10 << 20,
            file_keep: 5,
            retain_entries: 10_000,
        }
    }
}

/// `[hooks]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// May hook URLs point to loopback and private addresses.
    pub allow_private: bool,
}

/// `[jobs]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Jobs {
    /// The time zone of the times at which jobs run, as `Europe/Berlin`.
    pub time_zone: String,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { time_zone: "UTC".into() }
    }
}

impl Jobs {
    /// The time zone; UTC where there is none of that name.
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_policy_is_that_of_its_name_or_of_its_longest_beginning() {
        let policy = [("near.*", Policy::Ask), ("near.echo", Policy::Allow), ("near.e*", Policy::Deny)];
        let policy = policy.map(|(name, policy)| (name.to_owned(), policy)).into();
        let tools = Tools { policy, ..Tools::default() };
        let found = ["near.echo", "near.env", "near.pid", "near", "far"].map(|tool| tools.policy_of(tool));
        assert_eq!(found, [Policy::Allow, Policy::Deny, Policy::Ask, Policy::Allow, Policy::Allow]);
    }

    #[test]
    fn choices_are_the_provider_and_its_fallbacks() {
        let fallbacks = vec!["other/vendor/large".to_owned()];
        let provider = Provider { fallbacks, ..Provider::default() };
        assert_eq!(provider.choices().collect::<Vec<_>>(), [("local", "local-1"), ("other", "vendor/large")]);
        assert_eq!(provider.with_model(None), provider);
        let small = provider.with_model(Some("other/small"));
        assert_eq!(small.choices().collect::<Vec<_>>(), [("other", "small"), ("other", "vendor/large")]);
        let large = provider.with_model(Some("other/vendor/large"));
        assert_eq!(large.choices().collect::<Vec<_>>(), [("other", "vendor/large")], "asked once");
    }
}
