//! What the operator configured.

use prx_sdk::config;
use prx_sdk::http;
use prx_sdk::json;
use prx_sdk::provider::{Fault, ProviderError, Request};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Most headers that can be set.
const MAX_HEADERS: usize = 32;

/// The configuration for one request.
pub(crate) struct Settings {
    /// Without a slash and without the API's version at its end.
    pub(crate) base_url: String,
    pub(crate) model: String,
    pub(crate) timeout: Duration,
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
    headers: Vec<String>,
    extra: Option<String>,
    #[serde(flatten)]
    tuning: Tuning,
}

impl Settings {
    /// The configuration, with the request's own options before it.
    pub(crate) fn of(request: &Request) -> Result<Self, Fault> {
        let Configured { base_url, model, timeout_secs, headers, extra, tuning } = config::get()?;
        let own: Tuning = serde_json::from_str(&request.options)
            .map_err(|error| Fault::bad_input(format!("the request's options make no sense: {error}")))?;
        let model = model.filter(|model| !model.is_empty()).unwrap_or_else(|| request.model.clone());
        if model.is_empty() {
            return Err(Fault::bad_config("no model is named: set provider.model, such as claude-opus-5-5"));
        }
        Ok(Self {
            base_url: without_version(&base_url).to_owned(),
            model,
            timeout: Duration::from_secs(timeout_secs.max(1)),
            tuning: Tuning {
                max_tokens: own.max_tokens.or(tuning.max_tokens),
                temperature: own.temperature.or(tuning.temperature),
                effort: own.effort.or(tuning.effort),
            },
            headers: self::headers(&headers)?,
            extra: extra.as_deref().map(self::extra).transpose()?.unwrap_or_default(),
        })
    }

    /// Why no answer began.
    pub(crate) fn no_answer(&self, error: http::Error) -> ProviderError {
        self.failed("no answer came", error)
    }

    /// Why an answer that had begun did not end.
    pub(crate) fn broken_off(&self, error: http::Error) -> ProviderError {
        self.failed("the answer broke off", error)
    }

    fn failed(&self, what: &str, error: http::Error) -> ProviderError {
        let hint = match error.kind {
            http::ErrorKind::Timeout => format!(
                " ({} s of silence are allowed by providers_config.anthropic.timeout_secs)",
                self.timeout.as_secs()
            ),
            http::ErrorKind::Denied | http::ErrorKind::Invalid | http::ErrorKind::Unreachable => {
                "; check providers_config.anthropic.base_url, and whether the server runs".to_owned()
            }
            http::ErrorKind::TooLarge | http::ErrorKind::Unexpected => String::new(),
        };
        let mut failure = ProviderError::from(error);
        failure.fault.message = format!("{what} from {}: {}{hint}", self.base_url, failure.fault.message);
        failure
    }
}

/// A server's address, which may be given with what comes after it.
fn without_version(base_url: &str) -> &str {
    let base_url = base_url.trim_end_matches('/');
    let base_url = base_url.strip_suffix("/messages").unwrap_or(base_url);
    base_url.strip_suffix("/v1").unwrap_or(base_url).trim_end_matches('/')
}

/// Headers from lines of a name and a value.
fn headers(lines: &[String]) -> Result<Vec<(String, String)>, Fault> {
    if lines.len() > MAX_HEADERS {
        let found = lines.len();
        return Err(Fault::bad_config(format!(
            "providers_config.anthropic.headers has {found} headers; {MAX_HEADERS} can be set"
        )));
    }
    let header = |line: &String| {
        let (name, value) = line.split_once(':').filter(|(name, _)| !name.trim().is_empty()).ok_or_else(|| {
            let line = json::excerpt(line.as_bytes());
            Fault::bad_config(format!(
                "providers_config.anthropic.headers has `{line}`: each is \"Name: value\", such as \"X-Title: PRX\""
            ))
        })?;
        Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    lines.iter().map(header).collect()
}

fn extra(text: &str) -> Result<Map<String, Value>, Fault> {
    match text.trim() {
        "" => Ok(Map::new()),
        text => serde_json::from_str(text).map_err(|error| {
            Fault::bad_config(format!(
                "providers_config.anthropic.extra has to be a JSON object, such as '{{\"top_k\": 40}}': {error}"
            ))
        }),
    }
}
