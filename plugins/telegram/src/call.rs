//! Bot API calls as HTTP requests, and how long to wait before the next try.

use std::time::Duration;

use prx_sdk::connector::{Http, HttpOutcome, Segments};
use serde_json::Value;

use crate::api::{self, Answer, Failure};
use crate::config::Config;

/// Timeout of a call, beyond what a long poll waits for on purpose.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A call of this method, of which the token is a part of the URL.
pub(crate) fn post(config: &Config, method: &str, body: &Value) -> Http {
    Http::post(url(config, method)).json(body)
}

/// Where a method is called.
pub(crate) fn url(config: &Config, method: &str) -> Segments {
    Segments::text(format!("{}/bot", config.api_base())).secret("bot_token").then(format!("/{method}"))
}

/// What came of a call.
pub(crate) fn answer(outcome: &HttpOutcome) -> Answer<'_> {
    match outcome {
        HttpOutcome::Response(response) => api::answer(response.status, &response.body),
        HttpOutcome::Failed(failure) if failure.sent => Err(Failure::Unknown(failure.reason.clone())),
        HttpOutcome::Failed(failure) => Err(Failure::Server(failure.reason.clone())),
    }
}
