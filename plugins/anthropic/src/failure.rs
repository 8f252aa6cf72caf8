//! Why there is no answer, and what to do about it.

use crate::settings::{self, Settings};
use prx_sdk::log;
use prx_sdk::provider::{Fault, FaultCode, ProviderError, Request};
use prx_sdk::refusal::{Refusal, may_pass};
use serde_json::Value;

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

/// An answer that says no. `id` is what the API calls the request.
pub(crate) fn refused(refusal: &Refusal, id: &str, request: &Request, settings: &Settings) -> ProviderError {
    let (status, said, base_url) = (refusal.status, refusal.message(), settings.server.base_url());
    log::warn(&format!("status {status}, {}: {said} (request {id})", refusal.codes.join(" ")));
    if refusal.is_too_long() {
        return refusal.too_long(request, &settings::provider());
    }
    let named = kind_of(refusal);
    let by_status = || KINDS.iter().find(|(known, _)| *known == status).map(|(_, kind)| *kind);
    let kind = match named.or_else(by_status) {
        Some(kind) => kind,
        None if may_pass(status) => "api_error",
        None if matches!(status, 422 | 500..) => "invalid_request_error",
        None => "",
    };
    match kind {
        "not_found_error" if named.is_some() || refusal.mentions("model") => Fault::bad_config(format!(
            "there is no model `{}` at {base_url}: {} ({said})",
            settings.model.as_str(),
            settings.model.advice()
        ))
        .into(),
        "" | "not_found_error" => settings.server.not_here(refusal, "the Messages API does").into(),
        // The file is left out of the conversation then.
        "invalid_request_error" if refusal.is_about_files(request) => {
            Fault::bad_input(format!("the API refused the request: {said}")).into()
        }
        kind => settings.model.explained(refusal, explain(kind, refusal)),
    }
}

/// A list of models that does not come.
pub(crate) fn no_list(refusal: &Refusal, settings: &Settings) -> ProviderError {
    let by_status = KINDS.iter().find(|(known, _)| *known == refusal.status).map(|(_, kind)| *kind);
    match kind_of(refusal).or(by_status) {
        None | Some("not_found_error") => {
            settings.server.not_here(refusal, "a server with a list of models does").into()
        }
        Some(kind) => explain(kind, refusal),
    }
}

/// The API's own name for what went wrong.
fn kind_of(refusal: &Refusal) -> Option<&'static str> {
    KINDS.iter().find(|(_, kind)| refusal.is(kind)).map(|(_, kind)| *kind)
}

/// An error that stands where an answer should, in the middle of one or instead.
pub(crate) fn mid_stream(error: &Value) -> ProviderError {
    let refusal = Refusal::of(error);
    log::warn(&format!("an error instead of an answer, {}: {}", refusal.codes.join(" "), refusal.message()));
    if refusal.is_too_long() {
        let message = format!(
            "the conversation is too long for this model: begin a new one (/new) ({})",
            refusal.message()
        );
        return ProviderError::too_long(Fault::new(FaultCode::Quota, message), refusal.length());
    }
    explain(kind_of(&refusal).unwrap_or("api_error"), &refusal)
}

/// JSON that is no answer.
pub(crate) fn no_answer_in(settings: &Settings, said: &Value) -> ProviderError {
    if Refusal::of(said).has_words() { mid_stream(said) } else { settings.server.no_answer_in(said) }
}

fn explain(kind: &str, refusal: &Refusal) -> ProviderError {
    let said = refusal.message();
    let is_spent = refusal.is("enforced_spend_limit_reached");
    match kind {
        "authentication_error" => {
            denied(format!("the API key was refused: set {}.api_key to one that is valid", settings::table()))
        }
        "permission_error" => denied(format!("the API key may not do this: {said}")),
        "billing_error" => quota(format!("there is a matter of billing, at platform.claude.com: {said}")),
        "rate_limit_error" if is_spent => {
            quota(format!("the account's spend limit is reached; raise it at platform.claude.com: {said}"))
        }
        "rate_limit_error" => ProviderError::passing(
            Fault::new(FaultCode::Quota, format!("the account's rate limit is reached: {said}")),
            refusal.retry_after,
        ),
        // An account that is used up is told like this, too.
        "invalid_request_error" if refusal.mentions("credit balance") => {
            quota(format!("there is a matter of billing, at platform.claude.com: {said}"))
        }
        // What one server refuses another may take.
        "invalid_request_error" => Fault::unavailable(format!("the API refused the request: {said}")).into(),
        "overloaded_error" => ProviderError::passing(
            Fault::unavailable("the API is overloaded; try again later"),
            refusal.retry_after,
        ),
        _ => ProviderError::passing(
            Fault::unavailable(format!("the API has a problem of its own: {said}")),
            refusal.retry_after,
        ),
    }
}

fn denied(message: String) -> ProviderError {
    Fault::new(FaultCode::Denied, message).into()
}

fn quota(message: String) -> ProviderError {
    Fault::new(FaultCode::Quota, message).into()
}
