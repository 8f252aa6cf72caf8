//! Reads an answer as it comes: events, or JSON in one piece, whatever its content type says.

use crate::answer::Answer;
use crate::failure;
use crate::settings::Settings;
use prx_sdk::http::{self, Response};
use prx_sdk::json::{self, Unreadable};
use prx_sdk::log;
use prx_sdk::provider::ProviderError;
use prx_sdk::sse::{self, Content, Events};
use serde_json::{Value, json};

/// What some servers say last.
const DONE: &str = "[DONE]";

/// Reads an answer to its end, or until nobody listens any more.
///
/// # Errors
/// It is none, or breaks off.
pub(crate) fn read(
    response: Response,
    answer: &mut Answer<'_>,
    settings: &Settings,
) -> Result<(), ProviderError> {
    let encoding = response.header("content-encoding").map(str::to_owned);
    match sse::read_or_json(response.body).map_err(|error| settings.broken_off(error))? {
        Content::Events(events) => stream(events, answer, settings),
        Content::Json(bytes) => whole(&bytes, answer, settings),
        Content::Other(bytes) if bytes.is_empty() => {
            Err(settings.broken_off(http::Error::new(http::ErrorKind::Unexpected, "it was empty")))
        }
        Content::Other(bytes) => Err(failure::neither(settings, encoding.as_deref(), &bytes)),
    }
}

fn stream(mut events: Events, answer: &mut Answer<'_>, settings: &Settings) -> Result<(), ProviderError> {
    // An event that is cut off: an accident at the end, a defect before it.
    let mut cut: Option<String> = None;
    for event in events.by_ref() {
        let event = event.map_err(|error| settings.broken_off(error))?;
        let data = event.data.trim();
        if data.is_empty() {
            continue;
        }
        if let Some(cut) = cut {
            return Err(failure::nonsense(settings, Unreadable::Cut, &cut));
        }
        match json::read(data.as_bytes()) {
            _ if data == DONE => answer.end(),
            Ok(chunk @ Value::Object(_)) => answer.take(&chunk, &event.name)?,
            Ok(error) if event.name == "error" => return Err(failure::mid_stream(&error)),
            Ok(_) => {}
            Err(_) if event.name == "error" => return Err(failure::mid_stream(&json!(data))),
            Err(_) if !data.starts_with('{') => {
                log::warn(&format!(
                    "an event that is no JSON is left out: {}",
                    json::excerpt(data.as_bytes())
                ));
                answer.set_aside(json!(data));
            }
            Err(Unreadable::Cut) => cut = Some(data.to_owned()),
            Err(why) => return Err(failure::nonsense(settings, why, data)),
        }
        if answer.is_over() {
            events.finish();
            break;
        }
        if !answer.is_wanted() {
            break;
        }
    }
    cut.map_or(Ok(()), |cut| Err(cut_off(settings, cut.as_bytes())))
}

/// The server has hung up in the middle of something.
fn cut_off(settings: &Settings, chunk: &[u8]) -> ProviderError {
    let message = format!("its end makes no sense, for it is cut off: {}", json::excerpt(chunk));
    log::warn(&message);
    settings.broken_off(http::Error::new(http::ErrorKind::Unexpected, message))
}

/// The answer of a server that doesn't stream, and any other JSON.
fn whole(bytes: &[u8], answer: &mut Answer<'_>, settings: &Settings) -> Result<(), ProviderError> {
    let said = json::read(bytes).map_err(|why| match why {
        Unreadable::Cut => cut_off(settings, bytes),
        why => failure::nonsense(settings, why, &String::from_utf8_lossy(bytes)),
    })?;
    for chunk in json::items(&said) {
        answer.take(chunk, if chunk["content"].is_array() { "message" } else { "" })?;
    }
    if !answer.has_begun() {
        return Err(failure::no_answer_in(settings, &said, bytes));
    }
    answer.end();
    Ok(())
}
