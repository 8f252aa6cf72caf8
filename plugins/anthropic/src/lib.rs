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
use prx_sdk::provider::{Completion, Fault, ModelInfo, Provider, ProviderError, Request, Sink};
use prx_sdk::refusal::Refusal;
use settings::Settings;

/// The version of the API that is spoken.
const VERSION: &str = "2023-06-01";

/// Most bytes of a response on the wire.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// Most bytes of a list of models.
const MAX_LIST_BYTES: usize = 8 << 20;

/// Asks Claude.
pub struct Anthropic;

impl Provider for Anthropic {
    fn models() -> Vec<String> {
        ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"].map(str::to_owned).into()
    }

    fn list_models() -> Result<Vec<ModelInfo>, ProviderError> {
        let settings = Settings::of_server()?;
        check_key(&settings)?;
        let get = http::get(format!("{}/v1/models?limit=1000", settings.server.base_url()));
        let get = authorized(get.header("anthropic-version", VERSION), &settings);
        let get = get.timeout(settings.server.timeout()).max_body(MAX_LIST_BYTES);
        let response = get.send().map_err(|error| settings.server.no_answer(error))?;
        if response.is_success() {
            return settings.server.read_models(response);
        }
        Err(failure::no_list(&Refusal::read(response), &settings))
    }

    fn complete(request: Request, sink: &Sink) -> Result<Completion, ProviderError> {
        let settings = Settings::of(&request)?;
        check_key(&settings)?;
        let response = ask(&request, &settings)?;
        let mut answer = Answer::new(&request, sink);
        reader::read(response, &mut answer, &settings)?;
        answer.completed()
    }
}

prx_sdk::plugin! { provider: Anthropic, manifest: "plugin.toml" }

/// Whether there is a key to ask with.
fn check_key(settings: &Settings) -> Result<(), Fault> {
    let carries_key = |(name, _): &(String, String)| name == "x-api-key" || name == "authorization";
    if !config::has_secret("api_key") && !settings.headers.iter().any(carries_key) {
        let message = format!("there is no API key: set {}.api_key", settings::table());
        return Err(Fault::bad_config(message));
    }
    Ok(())
}

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
    let post = http::post(format!("{}/v1/messages", settings.server.base_url()))
        .header("anthropic-version", VERSION)
        .header("accept", "text/event-stream")
        .json(&request::body(request, settings, form))
        .timeout(settings.server.timeout())
        .max_body(MAX_RESPONSE_BYTES);
    authorized(post, settings)
}

/// A request with the key, and the operator's headers beside or instead of the usual ones.
fn authorized(mut request: http::Request, settings: &Settings) -> http::Request {
    if config::has_secret("api_key") {
        request = request.header("x-api-key", "{secret:api_key}");
    }
    request.set_headers(settings.headers.clone())
}
