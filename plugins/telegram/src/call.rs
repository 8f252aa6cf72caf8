//! Bot API calls as HTTP requests, and how long to wait before the next try.

use std::time::Duration;

use prx_sdk::connector::{Commands, Context, Http, HttpOutcome, LogLevel, Segments, Status};
use serde_json::Value;

use crate::api::{self, Answer, Failure};
use crate::config::Config;
use crate::state::State;

/// What is said while nothing is sent.
pub(crate) const COOLING: &str =
    "the platform, or what stands in front of it, shuts this address out (429 or 403) and says not how long";

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

/// A call of whose answer nothing is made, which is not worth a wait.
pub(crate) fn tell(cx: &Context<Config>, state: &mut State, method: &str, body: &Value, out: &mut Commands) {
    if !state.cooldown.is_over() {
        return;
    }
    let token = state.token();
    out.http(post(&cx.config, method, body).token(token).timeout(CALL_TIMEOUT));
}

/// What came of a call.
pub(crate) fn answer(outcome: &HttpOutcome) -> Answer<'_> {
    match outcome {
        HttpOutcome::Response(response) => match api::answer(response.status, &response.body) {
            Err(Failure::RateLimited(None)) => {
                let seconds = response.header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
                Err(Failure::RateLimited(seconds.filter(|seconds| *seconds > 0)))
            }
            answer => answer,
        },
        HttpOutcome::Failed(failure) if failure.sent => Err(Failure::Unknown(failure.reason.clone())),
        HttpOutcome::Failed(failure) => Err(Failure::Server(failure.reason.clone())),
    }
}

/// Takes note of whether the platform lets this address in: every answer that comes from there says so.
pub(crate) fn learn(cx: &Context<Config>, state: &mut State, outcome: &HttpOutcome, out: &mut Commands) {
    let HttpOutcome::Response(response) = outcome else { return };
    if !matches!(response.status, 403 | 429) && state.cooldown.is_over() {
        return;
    }
    match answer(outcome) {
        Err(Failure::RateLimited(None)) => {
            if let Some(pause) = state.cooldown.begin(cx.now, None) {
                let why = format!("{COOLING}: nothing is sent for {} s", pause.as_secs());
                out.log(LogLevel::Warn, &why);
                out.status(Status::Reconnecting(why));
            }
        }
        Err(Failure::Server(_) | Failure::Unknown(_)) => {}
        Ok(_) | Err(_) => state.cooldown.end(cx.now),
    }
}
