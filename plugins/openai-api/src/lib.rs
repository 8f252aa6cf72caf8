//! OpenAI's API, for programs that speak it: `/v1/models` lists the agents, `/v1/chat/completions` has one answer.
//!
//! A request belongs to a session that lasts where it names one: by the header `X-Session-Id`, an id of a session or a name of the
//! caller's own, or by `user`. Otherwise its messages are the whole conversation, of a session that ends with the answer. The
//! caller's tools are passed on to the model, and its calls of them back to the caller; those of the gateway run here.

mod answer;
mod content;
mod error;
mod models;
mod request;
#[cfg(test)]
mod tests;

use error::Refusal;
use prx_sdk::route::{Fault, Request, Response, Route};

/// The routes.
pub struct Api;

impl Route for Api {
    fn handle(request: Request) -> Result<Response, Fault> {
        Ok(dispatch(request).unwrap_or_else(Refusal::response))
    }
}

fn dispatch(request: Request) -> Result<Response, Refusal> {
    let segments = request.segments();
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    let is_get = matches!(request.method.as_str(), "GET" | "HEAD");
    match path[..] {
        ["v1", "models"] if is_get => models::list(),
        ["v1", "models", name] if is_get => models::show(name),
        ["v1", "chat", "completions"] if request.method == "POST" => answer::complete(request),
        ["v1", "models"] | ["v1", "models", _] => Err(Refusal::wrong_method(&request, "GET")),
        ["v1", "chat", "completions"] => Err(Refusal::wrong_method(&request, "POST")),
        _ => Err(Refusal::no_such_path(&request)),
    }
}

prx_sdk::plugin! { route: Api, manifest: "plugin.toml" }
