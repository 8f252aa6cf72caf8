//! Provider for every server that speaks OpenAI's chat completions, also those that leave parts of it out, and for its
//! Responses API.
//!
//! | module | holds |
//! |---|---|
//! | `settings` | what the operator configured |
//! | `form` | how a request is put, learned from what a server refuses |
//! | `request` | a conversation as chat completions take it |
//! | `responses` | the Responses API, both ways |
//! | `reader` | an answer as it comes, of either API |
//! | `chat` | chunks of a chat completion |
//! | `answer` | what of an answer has come |
//! | `calls` | tool calls from their pieces |
//! | `kept` | what a server of chat completions wants to see again |
//! | `tokens` | an estimate of usage, for servers that don't tell |
//! | `failure` | why there is none, and what to do about it |

mod answer;
mod calls;
mod chat;
mod failure;
mod form;
mod kept;
mod reader;
mod request;
mod responses;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;

use answer::Answer;
use form::{Form, MAX_CHANGES};
use prx_sdk::config;
use prx_sdk::http::{self, Response};
use prx_sdk::provider::{Completion, ModelInfo, Provider, ProviderError, Request, Sink};
use prx_sdk::refusal::Refusal;
use settings::{Api, Settings};

/// Most bytes of a response on the wire.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// Most bytes of a list of models.
const MAX_LIST_BYTES: usize = 8 << 20;

/// Asks a server.
pub struct OpenAi;

impl Provider for OpenAi {
    /// None are known without asking the server.
    fn models() -> Vec<String> {
        Vec::new()
    }

    fn list_models() -> Result<Vec<ModelInfo>, ProviderError> {
        let settings = Settings::of_server()?;
        let mut other = false;
        loop {
            let get = http::get(settings.models_url(other)).max_body(MAX_LIST_BYTES);
            let get = authorized(get, &settings).timeout(settings.server.timeout());
            let response = get.send().map_err(|error| settings.server.no_answer(error))?;
            if response.is_success() {
                return settings.server.read_models(response);
            }
            let refusal = Refusal::read(response);
            if !matches!(refusal.status, 404 | 405) || other || !settings.has_other_base() {
                return Err(failure::no_list(&refusal, &settings));
            }
            other = true;
        }
    }

    fn complete(request: Request, sink: &Sink) -> Result<Completion, ProviderError> {
        let settings = Settings::of(&request)?;
        let (response, api) = ask(&request, &settings)?;
        let mut answer = Answer::new(&request, sink);
        reader::read(response, api, &mut answer, &settings)?;
        answer.completed(|| tokens::of_request(&request))
    }
}

prx_sdk::plugin! { provider: OpenAi, manifest: "plugin.toml" }

/// Asks, and again in another form where the server says that it wants one.
fn ask(request: &Request, settings: &Settings) -> Result<(Response, Api), ProviderError> {
    let mut form = Form::known(settings);
    let mut changes = 0;
    loop {
        let api = form.api(settings);
        let response =
            post(request, settings, &form).send().map_err(|error| settings.server.no_answer(error))?;
        if response.is_success() {
            form.remember(settings);
            return Ok((response, api));
        }
        let refusal = Refusal::read(response);
        if changes == MAX_CHANGES || !form.change(&refusal, request, settings) {
            return Err(failure::refused(&refusal, request, settings));
        }
        changes += 1;
    }
}

fn post(request: &Request, settings: &Settings, form: &Form) -> http::Request {
    let api = form.api(settings);
    let body = match api {
        Api::Chat => request::body(request, settings, form),
        Api::Responses => responses::body(request, settings, form),
    };
    let post = http::post(settings.url(api, form.other_base))
        .json(&body)
        .timeout(settings.server.timeout())
        .max_body(MAX_RESPONSE_BYTES);
    authorized(post, settings)
}

/// A request with the key, and the operator's headers beside or instead of the usual ones.
fn authorized(mut request: http::Request, settings: &Settings) -> http::Request {
    if config::has_secret("api_key") {
        request = request.bearer("api_key");
    }
    request.set_headers(settings.headers.clone())
}
