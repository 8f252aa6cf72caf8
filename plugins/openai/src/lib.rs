//! Provider for every server that speaks OpenAI's chat completions, also those that leave parts of it out.
//!
//! | module | holds |
//! |---|---|
//! | `settings` | what the operator configured |
//! | `request` | a conversation as the API takes it |
//! | `answer` | an answer from its chunks, or whole |
//! | `calls` | tool calls from their pieces |
//! | `tokens` | an estimate of usage, for servers that don't tell |
//! | `failure` | why there is none, and what to do about it |

mod answer;
mod calls;
mod failure;
mod request;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;

use answer::Answer;
use prx_sdk::config;
use prx_sdk::http::{self, Response};
use prx_sdk::provider::{Completion, Provider, ProviderError, Request, Sink};
use prx_sdk::sse;
use settings::Settings;

/// Most bytes of a response on the wire.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// What the last event of a stream says.
const DONE: &str = "[DONE]";

/// Asks a server.
pub struct OpenAi;

impl Provider for OpenAi {
    /// None are known without asking the server.
    fn models() -> Vec<String> {
        Vec::new()
    }

    fn complete(request: Request, sink: &Sink) -> Result<Completion, ProviderError> {
        let settings = Settings::of(&request)?;
        let mut post = http::post(format!("{}/chat/completions", settings.base_url))
            .json(&request::body(&request, &settings))
            .timeout(settings.timeout)
            .max_body(MAX_RESPONSE_BYTES);
        if config::has_secret("api_key") {
            post = post.bearer("api_key");
        }
        let response = post.send().map_err(|error| settings.no_answer(error))?;
        if !response.is_success() {
            return Err(failure::refused(response, &request, &settings));
        }
        let mut answer = Answer::new(calls::count(&request));
        match response.header("content-type").unwrap_or_default() {
            kind if kind.starts_with("text/event-stream") => stream(response, &mut answer, &settings, sink)?,
            kind if kind.contains("json") => whole(response, &mut answer, &settings, sink)?,
            _ => return Err(failure::neither(&settings)),
        }
        answer.completed(|| tokens::of_request(&request))
    }
}

prx_sdk::plugin! { provider: OpenAi, manifest: "plugin.toml" }

fn stream(
    response: Response,
    answer: &mut Answer,
    settings: &Settings,
    sink: &Sink,
) -> Result<(), ProviderError> {
    let mut events = sse::read(response.body);
    for event in events.by_ref() {
        let event = event.map_err(|error| settings.broken_off(error))?;
        if event.data.trim() == DONE {
            answer.end();
            events.finish();
            break;
        }
        if !event.data.is_empty() && !answer.take(event.data.as_bytes(), sink)? {
            break;
        }
    }
    Ok(())
}

/// The answer of a server that doesn't stream.
fn whole(
    response: Response,
    answer: &mut Answer,
    settings: &Settings,
    sink: &Sink,
) -> Result<(), ProviderError> {
    let bytes = response.bytes().map_err(|error| settings.broken_off(error))?;
    answer.take(&bytes, sink)?;
    answer.end();
    Ok(())
}
