//! What the operator configured.

use prx_sdk::config;
use prx_sdk::provider::{Fault, Request};
use prx_sdk::server::{ModelName, Server};
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

/// What `api` may be.
const APIS: [(&str, Api); 2] = [("chat", Api::Chat), ("responses", Api::Responses)];
/// What `token_limit` may be, and whether that is the newer name.
const TOKEN_LIMITS: [(&str, bool); 2] = [("max_tokens", false), ("max_completion_tokens", true)];
/// What `schemas` may be, and whether that is plain.
const SCHEMAS: [(&str, bool); 2] = [("plain", true), ("whole", false)];

/// The configuration for one request.
pub(crate) struct Settings {
    /// Its address is without a slash at its end, and without a query.
    pub(crate) server: Server,
    /// What follows a question mark in it.
    query: Option<String>,
    pub(crate) model: ModelName,
    /// Which API to ask; none: chat completions, until a server says that it wants the other.
    pub(crate) api: Option<Api>,
    pub(crate) stream: bool,
    /// The model takes pictures and PDFs.
    pub(crate) files: bool,
    pub(crate) tuning: Tuning,
    /// How requests are put where servers differ.
    pub(crate) fixed: Fixed,
    /// Headers beyond the usual ones, or instead of them.
    pub(crate) headers: Vec<(String, String)>,
    /// Fields of the body beyond the usual ones, or instead of them.
    pub(crate) extra: Map<String, Value>,
}

/// An API of this kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// What is not left to be learned from a server's refusals.
pub(crate) struct Fixed {
    /// Whether the most tokens of an answer go by their newer name.
    pub(crate) new_token_limit: Option<bool>,
    /// How many tools are offered at most.
    pub(crate) max_tools: Option<usize>,
    /// Whether tools' schemas have nothing at their top but properties.
    pub(crate) plain_schemas: Option<bool>,
}

#[derive(Deserialize)]
struct Configured {
    base_url: String,
    model: Option<String>,
    api: Option<String>,
    stream: bool,
    files: bool,
    timeout_secs: u64,
    token_limit: String,
    max_tools: Option<usize>,
    schemas: String,
    #[serde(default)]
    extra: Map<String, Value>,
    #[serde(flatten)]
    tuning: Tuning,
}

impl Settings {
    /// The configuration, with the request's own options before it.
    pub(crate) fn of(request: &Request) -> Result<Self, Fault> {
        let configured: Configured = config::get()?;
        let tuning = configured.tuning;
        let own: Tuning = serde_json::from_str(&request.options)
            .map_err(|error| Fault::bad_input(format!("the request's options make no sense: {error}")))?;
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
            model: ModelName::of(request, configured.model, &provider())?,
            api: word("api", configured.api.as_deref().unwrap_or_default(), &APIS)?,
            stream: configured.stream,
            files: configured.files,
            tuning: Tuning {
                max_tokens: own.max_tokens.or(tuning.max_tokens),
                temperature: own.temperature.or(tuning.temperature),
                effort: own.effort.or(tuning.effort),
            },
            fixed: Fixed {
                new_token_limit: word("token_limit", &configured.token_limit, &TOKEN_LIMITS)?,
                max_tools: configured.max_tools,
                plain_schemas: word("schemas", &configured.schemas, &SCHEMAS)?,
            },
            headers: config::headers("headers"),
            extra: configured.extra,
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

/// What a word of a setting stands for; none: it is left to the server.
fn word<T: Copy>(key: &str, set: &str, words: &[(&str, T)]) -> Result<Option<T>, Fault> {
    let set = set.trim();
    let found = words.iter().find(|(word, _)| *word == set).map(|(_, meaning)| *meaning);
    if found.is_some() || matches!(set, "" | "auto") {
        return Ok(found);
    }
    let words = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
    Err(Fault::bad_config(format!("{}.{key} is `{set}`: set it to {words}, or leave it out", table())))
}
