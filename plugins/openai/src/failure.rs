//! Why there is no answer, and what to do about it.

use crate::form;
use crate::settings::{self, Settings};
use prx_sdk::log;
use prx_sdk::provider::{Fault, FaultCode, ProviderError, Request};
use prx_sdk::refusal::{Refusal, may_pass};
use serde_json::Value;

/// Fields of a request, and the settings that they come from.
const SETTINGS: [(&str, &str); 7] = [
    ("reasoning", "effort"),
    ("temperature", "temperature"),
    ("max_tokens", "max_tokens and token_limit"),
    ("max_completion_tokens", "max_tokens and token_limit"),
    ("max_output_tokens", "max_tokens"),
    ("tools[", "schemas"),
    ("tools", "max_tools"),
];

/// An answer that says no.
pub(crate) fn refused(refusal: &Refusal, request: &Request, settings: &Settings) -> ProviderError {
    let (status, said) = (refusal.status, refusal.message());
    if status != 401 {
        // The words about a wrong key show part of it.
        log::warn(&format!("status {status}, {}: {said}", refusal.codes.join(" ")));
    }
    let base_url = settings.server.base_url();
    if refusal.is_too_long() {
        return refusal.too_long(request, &settings::provider());
    }
    if settings.files && refusal.is_about_files(request) {
        return Fault::new(
            FaultCode::BadInput,
            format!(
                "the server refused the request: {said}. If the model takes no pictures, set {}.files = false: it is told \
                 their names then",
                settings::table()
            ),
        )
        .into();
    }
    match status {
        404 if refusal.is("model_not_found")
            || refusal.is("DeploymentNotFound")
            || refusal.mentions("model") =>
        {
            Fault::bad_config(format!(
                "there is no model `{}` at {base_url}: {} ({said})",
                settings.model.as_str(),
                settings.model.advice()
            ))
            .into()
        }
        ..400 | 404 | 405 => settings.server.not_here(refusal, "chat completions do").into(),
        status => settings.model.explained(refusal, explain(status, refusal)),
    }
}

/// A list of models that does not come.
pub(crate) fn no_list(refusal: &Refusal, settings: &Settings) -> ProviderError {
    match refusal.status {
        ..400 | 404 | 405 => settings.server.not_here(refusal, "a server with a list of models does").into(),
        status => explain(status, refusal),
    }
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
    let status = if refusal.status == 0 { meant(&refusal) } else { refusal.status };
    explain(status, &refusal)
}

/// The status that an error would have had.
fn meant(refusal: &Refusal) -> u16 {
    let kinds = [
        (400, ["invalid_request_error", "INVALID_ARGUMENT", "BadRequestError"].as_slice()),
        (401, &["authentication_error", "invalid_api_key", "UNAUTHENTICATED"]),
        (403, &["permission_error", "permission_denied", "PERMISSION_DENIED"]),
        (429, &["insufficient_quota", "rate_limit_error", "rate_limit_exceeded", "RESOURCE_EXHAUSTED"]),
    ];
    let kind = kinds.iter().find(|(_, codes)| codes.iter().any(|code| refusal.is(code)));
    kind.map_or(500, |(status, _)| *status)
}

/// JSON that is no answer.
pub(crate) fn no_answer_in(settings: &Settings, said: &Value) -> ProviderError {
    if Refusal::of(said).has_words() { mid_stream(said) } else { settings.server.no_answer_in(said) }
}

fn explain(status: u16, refusal: &Refusal) -> ProviderError {
    let said = refusal.message();
    let lasting = |code, message: String| Fault::new(code, message).into();
    match status {
        401 => lasting(
            FaultCode::Denied,
            format!("the API key was refused: set {}.api_key to one that is valid", settings::table()),
        ),
        403 => lasting(FaultCode::Denied, format!("the API key may not do this: {said}")),
        402 => lasting(FaultCode::Quota, format!("there is a matter of billing: {said}")),
        429 if refusal.is("insufficient_quota") => {
            lasting(FaultCode::Quota, format!("the account has no credit left: {said}"))
        }
        429 => ProviderError::passing(
            Fault::new(FaultCode::Quota, format!("the account's rate limit is reached: {said}")),
            refusal.retry_after,
        ),
        status if may_pass(status) => ProviderError::passing(
            Fault::unavailable(format!("the server has a problem: {said}")),
            refusal.retry_after,
        ),
        // What one server refuses another may take.
        _ => lasting(
            FaultCode::Unavailable,
            format!("the server refused the request: {said}{}", advice(refusal)),
        ),
    }
}

/// What to do about a request that is refused.
fn advice(refusal: &Refusal) -> String {
    if form::asks_for_responses(refusal) {
        return format!("; set {}.api = \"responses\", or leave it out", settings::table());
    }
    let is_about = |(field, _): &&(&str, &str)| {
        refusal.param.as_deref().is_some_and(|param| param.starts_with(field))
            || refusal.mentions(&format!("'{field}"))
            || refusal.mentions(&format!("`{field}"))
    };
    match SETTINGS.iter().find(is_about) {
        Some((_, setting)) => format!("; see {}.{setting}", settings::table()),
        None => String::new(),
    }
}
