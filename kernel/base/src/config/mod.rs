//! The configuration: what `prx.toml` may say, how it is read, changed and put in force.

pub use self::agents::{AgentSettings, DEFAULT_AGENT, fits, is_agent_key, may_fit};
pub use self::changes::Changes;
pub use self::file::{File, Loaded, Overrides, is_blank};
pub use self::filters::{FilterSettings, Filters, OnError};
pub use self::grant::{DEFAULT_FILES, EventGrant, FilesGrant, Grant};
pub use self::live::Live;
pub use self::load::{Invalid, Parsed};
pub use self::patch::Patched;
pub use self::plugins::Plugins;
pub use self::providers::{ModelSettings, is_kernel_key, provider_plugin, provider_settings};
pub use self::secret::{REDACTED, Secret, in_this_shell, is_reference, secret_file, sounds_secret};
pub use self::sections::{
    Agent, Components, Config, Egress, Gateway, Hooks, Jobs, Logs, Memory, Policy, Provider, RateLimits,
    Settings, Store, Tools,
};
pub use self::telemetry::Telemetry;

mod agents;
mod changes;
mod check;
mod file;
mod filters;
mod grant;
pub mod keys;
mod live;
mod load;
mod patch;
mod plugins;
mod providers;
mod secret;
mod sections;
mod telemetry;
