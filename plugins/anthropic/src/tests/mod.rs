use super::*;
use prx_sdk::http::{Body, Error, ErrorKind, Response};
use prx_sdk::provider::{
    AssistantMessage, Delta, FaultCode, Message, StopReason, ToolCall, ToolResult, ToolSpec, Usage,
    UserMessage,
};
use prx_sdk::testing;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

mod failures;
mod odd;
mod requests;
mod streams;
mod thoughts;

/// What a call came to: its answer, and what went through the sink.
type Outcome = (Result<Completion, ProviderError>, Vec<Delta>);

fn user(text: &str) -> Message {
    Message::User(UserMessage { text: text.to_owned(), attachments: Vec::new() })
}

fn request(messages: Vec<Message>) -> Request {
    Request {
        model: "claude-opus-5-5".to_owned(),
        system: String::new(),
        messages,
        tools: Vec::new(),
        options: "{}".to_owned(),
    }
}

/// Configures the plugin as the gateway would, with these keys instead of the manifest's defaults.
fn configure(keys: Value) {
    let mut config = json!({ "base_url": "http://127.0.0.1:9/", "max_tokens": 16_000, "timeout_secs": 120 });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    testing::configure(config);
    testing::set_secrets(&["api_key"]);
}

fn complete(request: Request) -> Outcome {
    let deltas = RefCell::new(Vec::new());
    let push = |delta| {
        deltas.borrow_mut().push(delta);
        true
    };
    let outcome = Anthropic::complete(request, &Sink::new(&push));
    (outcome, deltas.into_inner())
}

fn event_stream(chunks: Vec<Result<Vec<u8>, Error>>) -> Response {
    Response {
        status: 200,
        headers: vec![("content-type".to_owned(), "text/event-stream; charset=utf-8".to_owned())],
        body: Body::new(chunks.into_iter()),
    }
}

/// Answers a greeting with these chunks.
fn answered(chunks: Vec<Result<Vec<u8>, Error>>) -> Outcome {
    configure(json!({}));
    let mut once = Some(chunks);
    testing::serve(move |_| Ok(event_stream(once.take().unwrap_or_default())));
    complete(request(vec![user("Hello")]))
}

/// The answer to a stream, which is the same however the stream is cut in two.
fn read(stream: &str) -> Outcome {
    let bytes = stream.as_bytes();
    let whole = answered(vec![Ok(bytes.to_vec())]);
    for at in 1..bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(answered(vec![Ok(first.to_vec()), Ok(second.to_vec())]), whole, "cut at {at}");
    }
    assert_eq!(answered(bytes.chunks(1).map(|byte| Ok(byte.to_vec())).collect()), whole, "byte by byte");
    whole
}

fn text_of(deltas: &[Delta]) -> String {
    let texts =
        deltas.iter().filter_map(|delta| if let Delta::Text(text) = delta { Some(text) } else { None });
    texts.map(String::as_str).collect()
}
