//! Provider for Anthropic's Messages API.
//!
//! | module | holds |
//! |---|---|
//! | `settings` | what the operator configured |
//! | `request` | a conversation as the API takes it |
//! | `form` | how a request is put, learned from what a server refuses |
//! | `reader` | an answer as it comes |
//! | `answer` | what of an answer has come |
//! | `failure` | why there is none, and what to do about it |

mod answer;
mod failure;
mod form;
mod reader;
mod request;
mod settings;
#[cfg(test)]
mod tests;

use answer::Answer;
use form::{Form, MAX_CHANGES};
use prx_sdk::config;
use prx_sdk::http::{self, Response};
use prx_sdk::provider::{Completion, Fault, Provider, ProviderError, Request, Sink};
use prx_sdk::refusal::Refusal;
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
        let response = ask(&request, &settings)?;
        let mut answer = Answer::new(&request, sink);
        reader::read(response, &mut answer, &settings)?;
        answer.completed()
    }
}

prx_sdk::plugin! { provider: Anthropic, manifest: "plugin.toml" }

/// Asks, and again in another form where the server says that it wants one.
fn ask(request: &Request, settings: &Settings) -> Result<Response, ProviderError> {
    let mut form = Form::known(settings);
    let mut changes = 0;
    loop {
        let response =
            post(request, settings, &form).send().map_err(|error| settings.server.no_answer(error))?;
        if response.is_success() {
            form.remember(settings);
            return Ok(response);
        }
        let id = response.header("request-id").unwrap_or("-").to_owned();
        let refusal = Refusal::read(response);
        if changes == MAX_CHANGES || !form.change(&refusal, settings) {
            return Err(failure::refused(&refusal, &id, request, settings));
        }
        changes += 1;
    }
}

fn post(request: &Request, settings: &Settings, form: &Form) -> http::Request {
    let mut post = http::post(format!("{}/v1/messages", settings.server.base_url()))
        .header("anthropic-version", VERSION)
        .header("accept", "text/event-stream")
        .json(&request::body(request, settings, form))
        .timeout(settings.server.timeout())
        .max_body(MAX_RESPONSE_BYTES)
        .header("x-api-key", "{secret:api_key}");
    let is_set = |(name, _): &(String, String)| settings.headers.iter().any(|(set, _)| set == name);
    post.headers.retain(|header| !is_set(header));
    post.headers.extend(settings.headers.iter().cloned());
    post
}
