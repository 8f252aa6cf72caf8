use super::*;
use prx_sdk::http::{Body, Error, ErrorKind};
use prx_sdk::provider::{
    AssistantMessage, Delta, FaultCode, Message, StopReason, ToolCall, ToolResult, ToolSpec, Usage,
    UserMessage,
};
use prx_sdk::testing;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

mod calls;
mod failures;
mod forms;
mod kept;
mod odd;
mod partial;
mod requests;
mod responses;
mod streams;

/// What a call came to: its answer, and what went through the sink.
type Outcome = (Result<Completion, ProviderError>, Vec<Delta>);

fn user(text: &str) -> Message {
    Message::User(UserMessage { text: text.to_owned(), attachments: Vec::new() })
}

fn request(messages: Vec<Message>) -> Request {
    Request {
        model: "gpt-5.4".to_owned(),
        system: String::new(),
        messages,
        tools: Vec::new(),
        options: "{}".to_owned(),
    }
}

/// Configures the plugin as the gateway would, with these keys instead of the manifest's defaults.
fn configure(keys: Value) {
    let mut config = json!({
        "base_url": "http://127.0.0.1:9/v1/", "stream": true, "files": true, "timeout_secs": 300, "token_limit": "auto",
        "schemas": "auto",
    });
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
    let outcome = OpenAi::complete(request, &Sink::new(&push));
    (outcome, deltas.into_inner())
}

fn response(kind: &str, chunks: Vec<Result<Vec<u8>, Error>>) -> Response {
    Response {
        status: 200,
        headers: vec![("content-type".to_owned(), kind.to_owned())],
        body: Body::new(chunks.into_iter()),
    }
}

/// Answers a greeting with these chunks of events.
fn answered(chunks: Vec<Result<Vec<u8>, Error>>) -> Outcome {
    configure(json!({}));
    let mut once = Some(chunks);
    testing::serve(move |_| Ok(response("text/event-stream", once.take().unwrap_or_default())));
    complete(request(vec![user("Hello")]))
}

/// The request that leaves for a conversation.
fn sent(request: Request) -> http::Request {
    let seen = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&seen);
    testing::serve(move |request| {
        keep.replace(Some(request.clone()));
        Err(Error::new(ErrorKind::Unreachable, "the connection was refused"))
    });
    complete(request).0.unwrap_err();
    seen.take().expect("a request")
}

fn body(request: &http::Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
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

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

/// A stream of these chunks and its end.
fn stream_of(chunks: &[Value]) -> String {
    let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    events + "data: [DONE]\n\n"
}

/// A chunk that says this.
fn delta(delta: Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}
