//! Reads an answer as it comes, of either API.

use crate::answer::Answer;
use crate::failure;
use crate::settings::{Api, Settings};
use crate::{chat, responses};
use prx_sdk::http::Response;
use prx_sdk::provider::ProviderError;
use prx_sdk::server::Chunk;
use serde_json::Value;

/// Reads an answer to its end, or until nobody listens any more.
///
/// # Errors
/// It is none, or breaks off.
pub(crate) fn read(
    response: Response,
    api: Api,
    answer: &mut Answer<'_>,
    settings: &Settings,
) -> Result<(), ProviderError> {
    let mut chunks = settings.server.read(response)?;
    let mut whole = None;
    for chunk in chunks.by_ref() {
        match chunk? {
            Chunk::Json { value, is_whole, .. } => {
                take(answer, api, &value)?;
                whole = is_whole.then_some(value);
            }
            Chunk::Error(error) => return Err(failure::mid_stream(&error)),
            Chunk::Stray(words) => answer.set_aside(Value::String(words)),
            Chunk::Done => answer.end(),
        }
        if !answer.is_wanted() {
            return Ok(());
        }
        // Chat completions tell what they cost after their end.
        if answer.is_over() || (api == Api::Responses && answer.stop.is_some()) {
            break;
        }
    }
    chunks.finish();
    match whole {
        Some(said) if !answer.has_begun() => Err(failure::no_answer_in(settings, &said)),
        Some(_) => {
            answer.end();
            Ok(())
        }
        None => Ok(()),
    }
}

fn take(answer: &mut Answer<'_>, api: Api, chunk: &Value) -> Result<(), ProviderError> {
    match api {
        Api::Chat => chat::take(answer, chunk),
        Api::Responses => responses::take(answer, chunk),
    }
}
