//! What the operator configured.

use prx_sdk::config;
use prx_sdk::provider::{Fault, Request};
use prx_sdk::server::{self, Server};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Whose settings they are, unless a table of the configuration makes another provider of this plugin.
const PROVIDER: &str = "openai";

/// Where its settings are.
pub(crate) fn table() -> String {
    format!("providers_config.{}", provider())
}

pub(crate) fn provider() -> String {
    config::provider_name(PROVIDER)
}

/// What may stand at the end of an address that was copied whole.
const PATHS: [&str; 2] = ["/chat/completions", "/responses"];

/// The configuration for one request.
pub(crate) struct Settings {
    /// Its address is without a slash at its end, and without a query.
    pub(crate) server: Server,
    /// What follows a question mark in it.
    query: Option<String>,
    pub(crate) model: String,
    /// Which API to ask; none: chat completions, until a server says that it wants the other.
    pub(crate) api: Option<Api>,
    pub(crate) stream: bool,
    /// The model takes pictures and PDFs.
    pub(crate) files: bool,
    pub(crate) tuning: Tuning,
    /// Headers beyond the usual ones.
    pub(crate) headers: Vec<(String, String)>,
    /// Fields of the body beyond the usual ones, or instead of them.
    pub(crate) extra: Map<String, Value>,
}

/// An API of this kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Api {
    Chat,
    Responses,
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
    api: Option<String>,
    stream: bool,
    files: bool,
    timeout_secs: u64,
    #[serde(default)]
    headers: Vec<String>,
    extra: Option<String>,
    #[serde(flatten)]
    tuning: Tuning,
}

impl Settings {
    /// The configuration, with the request's own options before it.
    pub(crate) fn of(request: &Request) -> Result<Self, Fault> {
        let configured: Configured = config::get()?;
        let (model, tuning) = (configured.model, configured.tuning);
        let own: Tuning = serde_json::from_str(&request.options)
            .map_err(|error| Fault::bad_input(format!("the request's options make no sense: {error}")))?;
        let model = model.filter(|model| !model.is_empty()).unwrap_or_else(|| request.model.clone());
        if model.is_empty() {
            return Err(Fault::bad_config("no model is named: set provider.model"));
        }
        let (base_url, query) = match configured.base_url.split_once('?') {
            Some((base_url, query)) => (base_url, Some(query.to_owned())),
            None => (configured.base_url.as_str(), None),
        };
        let base_url = base_url.trim_end_matches('/');
        let base_url = PATHS.iter().find_map(|path| base_url.strip_suffix(path)).unwrap_or(base_url);
        Ok(Self {
            server: Server::new(provider(), base_url)
                .with_timeout(Duration::from_secs(configured.timeout_secs.max(1))),
            query,
            model,
            api: configured.api.as_deref().map(api).transpose()?.flatten(),
            stream: configured.stream,
            files: configured.files,
            tuning: Tuning {
                max_tokens: own.max_tokens.or(tuning.max_tokens),
                temperature: own.temperature.or(tuning.temperature),
                effort: own.effort.or(tuning.effort),
            },
            headers: server::headers(&provider(), &configured.headers)?,
            extra: server::extra(&provider(), configured.extra.as_deref().unwrap_or_default())?,
        })
    }

    /// The configuration for asking about the server itself.
    pub(crate) fn of_server() -> Result<Self, Fault> {
        let (model, options) = ("any".to_owned(), "{}".to_owned());
        Self::of(&Request { model, system: String::new(), messages: Vec::new(), tools: Vec::new(), options })
    }

    /// Where the list of models is.
    pub(crate) fn models_url(&self, other: bool) -> String {
        self.path_url("models", other)
    }

    /// Where an API is. A server's address may be given with or without the version at its end: what has no path gets
    /// it; `other` is the address that was not meant then.
    pub(crate) fn url(&self, api: Api, other: bool) -> String {
        let path = match api {
            Api::Chat => "chat/completions",
            Api::Responses => "responses",
        };
        self.path_url(path, other)
    }

    fn path_url(&self, path: &str, other: bool) -> String {
        let base = match self.other_base().filter(|_| other != self.has_no_path()) {
            Some(base) => base,
            None => self.server.base_url().to_owned(),
        };
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{base}/{path}{query}")
    }

    /// The address with the version if it was given without, and the reverse; none where another version is named.
    fn other_base(&self) -> Option<String> {
        let last = self.server.base_url().rsplit('/').next().unwrap_or_default();
        let is_version =
            last.len() > 1 && last.starts_with('v') && last[1..].starts_with(|c: char| c.is_ascii_digit());
        match last {
            "v1" => self.server.base_url().strip_suffix("/v1").map(str::to_owned),
            _ if is_version => None,
            _ => Some(format!("{}/v1", self.server.base_url())),
        }
    }

    fn has_no_path(&self) -> bool {
        self.server.base_url().split_once("://").is_none_or(|(_, rest)| !rest.contains('/'))
    }

    /// Whether there is another address to ask.
    pub(crate) fn has_other_base(&self) -> bool {
        self.other_base().is_some()
    }
}

fn api(name: &str) -> Result<Option<Api>, Fault> {
    match name.trim() {
        "" => Ok(None),
        "chat" => Ok(Some(Api::Chat)),
        "responses" => Ok(Some(Api::Responses)),
        other => Err(Fault::bad_config(format!(
            "{}.api is `{other}`: set it to \"chat\" or \"responses\", or leave it out",
            table()
        ))),
    }
}
