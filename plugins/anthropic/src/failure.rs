//! Why there is no answer, and what to do about it.

use crate::settings::Settings;
use prx_sdk::http::Response;
use prx_sdk::log;
use prx_sdk::provider::{Fault, FaultCode, ProviderError};
use serde::Deserialize;
use std::time::Duration;

/// Most bytes that are read of an error response.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Most bytes of its message that are passed on.
const MAX_QUOTE_BYTES: usize = 400;

/// The API's own words.
#[derive(Default, Deserialize)]
pub(crate) struct Refusal {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    error_code: Option<String>,
}

/// An answer that says no.
pub(crate) fn refused(mut response: Response, settings: &Settings) -> ProviderError {
    #[derive(Deserialize)]
    struct Envelope {
        error: Refusal,
    }
    let status = response.status;
    let wait = response.retry_after();
    let id = response.header("request-id").unwrap_or("-").to_owned();
    let mut bytes = Vec::new();
    while bytes.len() < MAX_BODY_BYTES
        && let Ok(Some(chunk)) = response.body.chunk()
    {
        bytes.extend_from_slice(&chunk);
    }
    let said = serde_json::from_slice(&bytes).map(|envelope: Envelope| envelope.error);
    let is_api = said.is_ok();
    let mut refusal = said.unwrap_or_default();
    if refusal.message.is_empty() {
        refusal.message = format!("status {status}");
    }
    log::warn(&format!("status {status}, {}: {} (request {id})", refusal.kind, quoted(&refusal.message)));
    let kind = match status {
        _ if KINDS.iter().any(|(_, kind)| *kind == refusal.kind) => refusal.kind.as_str(),
        status => match KINDS.iter().find(|(known, _)| *known == status) {
            Some((_, kind)) => kind,
            None if matches!(status, 408 | 409 | 500..) => "api_error",
            None => "",
        },
    };
    match kind {
        "not_found_error" if is_api => Fault::bad_config(format!(
            "there is no model `{}` at {}: set provider.model to one there is, such as claude-opus-5-5",
            settings.model, settings.base_url
        ))
        .into(),
        "" | "not_found_error" => Fault::bad_config(format!(
            "{} answered with status {status}, and not as the Messages API does; check \
             providers_config.anthropic.base_url",
            settings.base_url
        ))
        .into(),
        kind => explain(kind, &refusal, wait),
    }
}

/// An error in the middle of an answer.
pub(crate) fn mid_stream(refusal: &Refusal) -> ProviderError {
    log::warn(&format!("in the middle of an answer, {}: {}", refusal.kind, quoted(&refusal.message)));
    explain(&refusal.kind, refusal, None)
}

/// An answer that is none of this API.
pub(crate) fn no_stream(settings: &Settings) -> ProviderError {
    Fault::bad_config(format!(
        "{} did not answer with an event stream; check providers_config.anthropic.base_url",
        settings.base_url
    ))
    .into()
}

/// Statuses, and the kind of error that each stands for.
const KINDS: [(u16, &str); 10] = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (529, "overloaded_error"),
    (504, "timeout_error"),
    (500, "api_error"),
];

fn explain(kind: &str, refusal: &Refusal, wait: Option<Duration>) -> ProviderError {
    let said = quoted(&refusal.message);
    let spent = refusal.details.as_ref().and_then(|details| details.error_code.as_deref())
        == Some("enforced_spend_limit_reached");
    match kind {
        "authentication_error" => denied(
            "the API key was refused: set providers_config.anthropic.api_key to one that is valid".to_owned(),
        ),
        "permission_error" => denied(format!("the API key may not do this: {said}")),
        "billing_error" => quota(format!("there is a matter of billing, at platform.claude.com: {said}")),
        "rate_limit_error" if spent => {
            quota(format!("the account's spend limit is reached; raise it at platform.claude.com: {said}"))
        }
        "rate_limit_error" => ProviderError::passing(
            Fault::new(FaultCode::Quota, format!("the account's rate limit is reached: {said}")),
            wait,
        ),
        // An account that is used up is told like this, too.
        "invalid_request_error" if refusal.message.contains("credit balance") => {
            quota(format!("there is a matter of billing, at platform.claude.com: {said}"))
        }
        "invalid_request_error" => Fault::bad_input(format!("the API refused the request: {said}")).into(),
        "request_too_large" => Fault::bad_input(
            "the conversation is too large for the API: begin a new session, or lower \
             agent.history_messages",
        )
        .into(),
        "overloaded_error" => {
            ProviderError::passing(Fault::unavailable("the API is overloaded; try again later"), wait)
        }
        _ => ProviderError::passing(
            Fault::unavailable(format!("the API has a problem of its own: {said}")),
            wait,
        ),
    }
}

fn denied(message: String) -> ProviderError {
    Fault::new(FaultCode::Denied, message).into()
}

fn quota(message: String) -> ProviderError {
    Fault::new(FaultCode::Quota, message).into()
}

/// The beginning of the server's message.
fn quoted(words: &str) -> &str {
    &words[..words.floor_char_boundary(MAX_QUOTE_BYTES)]
}
