//! What the operator configured.

use prx_sdk::config;
use prx_sdk::http;
use prx_sdk::provider::{Fault, ProviderError, Request};
use serde::Deserialize;
use std::time::Duration;

/// The configuration for one request.
pub(crate) struct Settings {
    /// Without a slash at its end.
    pub(crate) base_url: String,
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// The model takes pictures and PDFs.
    pub(crate) files: bool,
    pub(crate) timeout: Duration,
    pub(crate) tuning: Tuning,
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
    stream: bool,
    files: bool,
    timeout_secs: u64,
    #[serde(flatten)]
    tuning: Tuning,
}

impl Settings {
    /// The configuration, with the request's own options before it.
    pub(crate) fn of(request: &Request) -> Result<Self, Fault> {
        let Configured { base_url, model, stream, files, timeout_secs, tuning } = config::get()?;
        let own: Tuning = serde_json::from_str(&request.options)
            .map_err(|error| Fault::bad_input(format!("the request's options make no sense: {error}")))?;
        let model = model.filter(|model| !model.is_empty()).unwrap_or_else(|| request.model.clone());
        if model.is_empty() {
            return Err(Fault::bad_config("no model is named: set provider.model"));
        }
        Ok(Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            model,
            stream,
            files,
            timeout: Duration::from_secs(timeout_secs.max(1)),
            tuning: Tuning {
                max_tokens: own.max_tokens.or(tuning.max_tokens),
                temperature: own.temperature.or(tuning.temperature),
                effort: own.effort.or(tuning.effort),
            },
        })
    }

    /// Whether it is OpenAI itself that is asked.
    pub(crate) fn is_openai(&self) -> bool {
        self.base_url.starts_with("https://api.openai.com/")
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
                " ({} s of silence are allowed by providers_config.openai.timeout_secs)",
                self.timeout.as_secs()
            ),
            http::ErrorKind::Denied | http::ErrorKind::Invalid | http::ErrorKind::Unreachable => {
                "; check providers_config.openai.base_url, and whether the server runs".to_owned()
            }
            http::ErrorKind::TooLarge | http::ErrorKind::Unexpected => String::new(),
        };
        let mut failure = ProviderError::from(error);
        failure.fault.message = format!("{what} from {}: {}{hint}", self.base_url, failure.fault.message);
        failure
    }
}
