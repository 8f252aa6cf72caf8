//! Provider for Anthropic's Messages API.
//!
//! | module | holds |
//! |---|---|
//! | `settings` | what the operator configured |
//! | `request` | a conversation as the API takes it |
//! | `answer` | an answer from its events |
//! | `failure` | why there is none, and what to do about it |

mod answer;
mod failure;
mod request;
mod settings;
#[cfg(test)]
mod tests;

use answer::Answer;
use prx_sdk::config;
use prx_sdk::http;
use prx_sdk::provider::{Completion, Fault, Provider, ProviderError, Request, Sink};
use prx_sdk::sse;
use settings::Settings;

/// The version of the API that is spoken.
const VERSION: &str = "2023-06-01";

/// Most bytes of a response on the wire.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// Asks Claude.
pub struct Anthropic;

impl Provider for Anthropic {
    fn models() -> Vec<String> {
        ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"].map(str::to_owned).into()
    }

    fn complete(request: Request, sink: &Sink) -> Result<Completion, ProviderError> {
        let settings = Settings::of(&request)?;
        if !config::has_secret("api_key") {
            let message = "there is no API key: set providers_config.anthropic.api_key";
            return Err(Fault::bad_config(message).into());
        }
        let response = http::post(format!("{}/v1/messages", settings.base_url))
            .header("anthropic-version", VERSION)
            .header("x-api-key", "{secret:api_key}")
            .header("accept", "text/event-stream")
            .json(&request::body(&request, &settings))
            .timeout(settings.timeout)
            .max_body(MAX_RESPONSE_BYTES)
            .send()
            .map_err(|error| settings.no_answer(error))?;
        if !response.is_success() {
            return Err(failure::refused(response, &settings));
        }
        if !response.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return Err(failure::no_stream(&settings));
        }
        let mut events = sse::read(response.body);
        let mut answer = Answer::default();
        for event in events.by_ref() {
            let event = event.map_err(|error| settings.broken_off(error))?;
            if !answer.take(&event, sink)? {
                break;
            }
        }
        if answer.is_over() {
            events.finish();
        }
        answer.completed()
    }
}

prx_sdk::plugin! { provider: Anthropic, manifest: "plugin.toml" }
