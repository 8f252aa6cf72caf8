//! Reads an answer as it comes.

use crate::answer::Answer;
use crate::failure;
use crate::settings::Settings;
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
    answer: &mut Answer<'_>,
    settings: &Settings,
) -> Result<(), ProviderError> {
    let mut chunks = settings.server.read(response)?;
    let mut whole = None;
    for chunk in chunks.by_ref() {
        match chunk? {
            Chunk::Json { value, is_whole: true, .. } => {
                answer.take(&value, if value["content"].is_array() { "message" } else { "" })?;
                whole = Some(value);
            }
            Chunk::Json { value, name, .. } => answer.take(&value, &name)?,
            Chunk::Error(error) => return Err(failure::mid_stream(&error)),
            Chunk::Stray(words) => answer.set_aside(Value::String(words)),
            Chunk::Done => answer.end(),
        }
        if !answer.is_wanted() {
            return Ok(());
        }
        if answer.is_over() {
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
