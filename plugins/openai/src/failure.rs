//! Why there is no answer, and what to do about it.

use crate::settings::Settings;
use prx_sdk::http::Response;
use prx_sdk::log;
use prx_sdk::provider::{Fault, FaultCode, Message, ProviderError, Request};
use serde_json::Value;
use std::time::Duration;

/// Most bytes that are read of an error response.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Most bytes of its message that are passed on.
const MAX_QUOTE_BYTES: usize = 400;

/// The server's own words. Each server has its own shape for them.
#[derive(Default)]
struct Refusal {
    message: String,
    /// `code` and `type`, as far as they are there.
    codes: [String; 2],
}

/// An answer that says no.
pub(crate) fn refused(mut response: Response, request: &Request, settings: &Settings) -> ProviderError {
    let status = response.status;
    let wait = response.retry_after();
    let mut bytes = Vec::new();
    while bytes.len() < MAX_BODY_BYTES
        && let Ok(Some(chunk)) = response.body.chunk()
    {
        bytes.extend_from_slice(&chunk);
    }
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let mut refusal = Refusal::of(body);
    if refusal.message.is_empty() {
        refusal.message = format!("status {status}");
    }
    if status != 401 {
        // The words about a wrong key show part of it.
        log::warn(&format!("status {status}, {}: {}", refusal.codes.join(" "), quoted(&refusal.message)));
    }
    let said = quoted(&refusal.message);
    if settings.files && refusal.is_about_files(status) && has_files(request) {
        return Fault::new(
            FaultCode::BadInput,
            format!(
                "the server refused the request: {said}. If the model takes no pictures, set \
                 providers_config.openai.files = false: it is told their names then"
            ),
        )
        .into();
    }
    match status {
        404 if refusal.is("model_not_found") || said.contains("model") => Fault::bad_config(format!(
            "there is no model `{}` at {}: set provider.model to one there is ({said})",
            settings.model, settings.base_url
        ))
        .into(),
        ..400 | 404 | 405 => Fault::bad_config(format!(
            "{} answered with status {status}, and not as chat completions do; check \
             providers_config.openai.base_url",
            settings.base_url
        ))
        .into(),
        status => explain(status, &refusal, wait),
    }
}

fn has_files(request: &Request) -> bool {
    let has = |message: &Message| matches!(message, Message::User(said) if !said.attachments.is_empty());
    request.messages.iter().any(has)
}

/// An error in the middle of an answer.
pub(crate) fn mid_stream(error: Value) -> ProviderError {
    let refusal = Refusal::of_error(error);
    log::warn(&format!(
        "in the middle of an answer, {}: {}",
        refusal.codes.join(" "),
        quoted(&refusal.message)
    ));
    let status = refusal.codes.iter().find_map(|code| code.parse().ok());
    explain(status.unwrap_or(if refusal.is("invalid_request_error") { 400 } else { 500 }), &refusal, None)
}

/// An answer that is neither events nor JSON.
pub(crate) fn neither(settings: &Settings) -> ProviderError {
    Fault::bad_config(format!(
        "{} answered neither with events nor with JSON; check providers_config.openai.base_url",
        settings.base_url
    ))
    .into()
}

fn explain(status: u16, refusal: &Refusal, wait: Option<Duration>) -> ProviderError {
    let said = quoted(&refusal.message);
    let lasting = |code, message: String| Fault::new(code, message).into();
    match status {
        _ if refusal.is("context_length_exceeded") => lasting(
            FaultCode::BadInput,
            format!(
                "the conversation is too long for this model: begin a new session, or lower agent.history_messages ({said})"
            ),
        ),
        401 => lasting(
            FaultCode::Denied,
            "the API key was refused: set providers_config.openai.api_key to one that is valid".to_owned(),
        ),
        403 => lasting(FaultCode::Denied, format!("the API key may not do this: {said}")),
        402 => lasting(FaultCode::Quota, format!("there is a matter of billing: {said}")),
        429 if refusal.is("insufficient_quota") => {
            lasting(FaultCode::Quota, format!("the account has no credit left: {said}"))
        }
        429 => ProviderError::passing(
            Fault::new(FaultCode::Quota, format!("the account's rate limit is reached: {said}")),
            wait,
        ),
        408 | 409 | 425 | 500.. => {
            ProviderError::passing(Fault::unavailable(format!("the server has a problem: {said}")), wait)
        }
        _ => lasting(FaultCode::BadInput, format!("the server refused the request: {said}")),
    }
}

impl Refusal {
    /// From the body of an answer: `{"error": …}`, or what would stand there.
    fn of(mut body: Value) -> Self {
        match body.get_mut("error").map(Value::take) {
            Some(error) if !error.is_null() => Self::of_error(error),
            _ => Self::of_error(body),
        }
    }

    /// From a text, or an object with `message` or `detail`.
    fn of_error(error: Value) -> Self {
        let text = |key: &str| match error.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let message = match &error {
            Value::String(text) => text.clone(),
            _ => Some(text("message")).filter(|text| !text.is_empty()).unwrap_or_else(|| text("detail")),
        };
        Self { message, codes: [text("code"), text("type")] }
    }

    /// Whether it is files that a server does not take. Each says so in its own words.
    fn is_about_files(&self, status: u16) -> bool {
        let message = self.message.to_lowercase();
        let words = ["image", "multimodal", "multi-modal", "vision", "mmproj", "file"];
        !matches!(status, 401..=403 | 429) && words.iter().any(|word| message.contains(word))
    }

    fn is(&self, code: &str) -> bool {
        self.codes.iter().any(|known| known == code)
    }
}

/// The beginning of the server's message.
fn quoted(words: &str) -> &str {
    &words[..words.floor_char_boundary(MAX_QUOTE_BYTES)]
}
