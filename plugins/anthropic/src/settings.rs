//! What the operator configured.

use prx_sdk::config;
use prx_sdk::provider::{Fault, Request};
use prx_sdk::server::{ModelName, Server};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Whose settings they are, unless a table of the configuration makes another provider of this plugin.
const PROVIDER: &str = "anthropic";

/// Where its settings are.
pub(crate) fn table() -> String {
    format!("providers_config.{}", provider())
}

pub(crate) fn provider() -> String {
    config::provider_name(PROVIDER)
}

/// The configuration for one request.
pub(crate) struct Settings {
    /// Its address is without a slash and without the API's version at its end.
    pub(crate) server: Server,
    pub(crate) model: ModelName,
    pub(crate) tuning: Tuning,
    /// Headers beyond the usual ones, or instead of them.
    pub(crate) headers: Vec<(String, String)>,
    /// Fields of the body beyond the usual ones, or instead of them.
    pub(crate) extra: Map<String, Value>,
}

/// What can be set for every request and for one.
#[derive(Deserialize)]
pub(crate) struct Tuning {
    pub(crate) max_tokens: Option<u32>,
    pub(crate) temperature: Option<f64>,
    pub(crate) effort: Option<String>,
}

#[derive(Deserialize)]
struct Configured {
    base_url: String,
    model: Option<String>,
    timeout_secs: u64,
    #[serde(default)]
    extra: Map<String, Value>,
    #[serde(flatten)]
    tuning: Tuning,
}

impl Settings {
    /// The configuration for asking about the server itself.
    pub(crate) fn of_server() -> Result<Self, Fault> {
        let (model, options) = ("any".to_owned(), "{}".to_owned());
        Self::of(&Request { model, system: String::new(), messages: Vec::new(), tools: Vec::new(), options })
    }

    /// The configuration, with the request's own options before it.
    pub(crate) fn of(request: &Request) -> Result<Self, Fault> {
        let Configured { base_url, model, timeout_secs, extra, tuning } = config::get()?;
        let own: Tuning = serde_json::from_str(&request.options)
            .map_err(|error| Fault::bad_input(format!("the request's options make no sense: {error}")))?;
        Ok(Self {
            server: Server::new(provider(), without_version(&base_url))
                .with_timeout(Duration::from_secs(timeout_secs.max(1))),
            model: ModelName::of(request, model, &provider())?,
            tuning: Tuning {
                max_tokens: own.max_tokens.or(tuning.max_tokens),
                temperature: own.temperature.or(tuning.temperature),
                effort: own.effort.or(tuning.effort),
            },
            headers: config::headers("headers"),
            extra,
        })
    }
}

/// A server's address, which may be given with what comes after it.
fn without_version(base_url: &str) -> &str {
    let base_url = base_url.trim_end_matches('/');
    let base_url = base_url.strip_suffix("/messages").unwrap_or(base_url);
    base_url.strip_suffix("/v1").unwrap_or(base_url).trim_end_matches('/')
}
