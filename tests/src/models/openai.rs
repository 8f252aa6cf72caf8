//! OpenAI's chat completions.

use hyper::HeaderMap;
use serde_json::{Value, json};

use super::dialect::Call;
use super::{Dialect, KEY};

pub(super) const DIALECT: Dialect = Dialect {
    provider: "openai",
    model: "gpt-5.4",
    base: "/v1",
    settings: "",
    conversation: "messages",
    path: "/v1/chat/completions",
    key: || ("authorization", format!("Bearer {KEY}")),
    ask: |text| json!({"model": DIALECT.model, "stream": true, "messages": [{"role": "user", "content": text}]}),
    check,
    said_last,
    refusal: |message| error("invalid_request_error", message).to_string(),
    words,
    calls,
    overloaded: || event(&error("server_error", "The server is overloaded")),
};

fn check(headers: &HeaderMap, body: &Value) -> Result<(), String> {
    if headers.get("content-length").is_none() || headers.contains_key("transfer-encoding") {
        return Err("content-length: required".into());
    }
    if body["model"] != DIALECT.model || body["stream"] != true {
        return Err("model, stream: required".into());
    }
    let mut open: Vec<&Value> = Vec::new();
    for message in body["messages"].as_array().ok_or("messages: required")? {
        if message["role"] == "tool" {
            let place = open.iter().position(|id| **id == message["tool_call_id"]);
            open.remove(place.ok_or("messages: a tool message must answer a tool call")?);
            continue;
        }
        if !open.is_empty() {
            return Err("messages: tool calls must be followed by tool messages".into());
        }
        // https://platform.openai.com/docs/api-reference/chat/create: a user's content may also be a list of parts.
        let parts = message["content"].as_array().filter(|_| message["role"] == "user");
        let is_part = |part: &Value| {
            ["text", "image_url", "file"].iter().any(|kind| part["type"] == *kind && !part[*kind].is_null())
        };
        // Beside tool calls there may be none, and strict servers refuse an empty one.
        let is_call = message["content"].is_null() && message["tool_calls"].is_array();
        if !is_call
            && !message["content"].is_string()
            && !parts.is_some_and(|parts| parts.iter().all(is_part))
        {
            return Err("messages: content must be a text, or a user's parts".into());
        }
        let calls = message["tool_calls"].as_array();
        open = calls.into_iter().flatten().map(|call| &call["id"]).collect();
    }
    if open.is_empty() { Ok(()) } else { Err("messages: tool calls without an answer".into()) }
}

fn said_last(body: &Value) -> String {
    let Some(last) = body["messages"].as_array().and_then(|messages| messages.last()) else {
        return String::new();
    };
    match &last["content"] {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        content => content.as_str().unwrap_or_default().to_owned(),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    framed(words.iter().map(|word| json!({"content": word})), "stop")
}

fn calls(calls: &[Call<'_>]) -> Vec<String> {
    let pieces = calls.iter().enumerate().flat_map(|(index, (id, name, arguments))| {
        let arguments = arguments.to_string();
        let (one, two) = arguments.split_at(arguments.len() / 2);
        let begin = json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}});
        let piece = |text: &str| json!({"index": index, "function": {"arguments": text}});
        [begin, piece(one), piece(two)].map(|call| json!({"tool_calls": [call]}))
    });
    framed(pieces, "tool_calls")
}

fn framed(deltas: impl Iterator<Item = Value>, reason: &str) -> Vec<String> {
    let chunk = |delta: Value, reason: Option<&str>| {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": DIALECT.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": null})
    };
    let start = chunk(json!({"role": "assistant", "content": ""}), None);
    let end = chunk(json!({}), Some(reason));
    let usage = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage":
        {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 90}}});
    let chunks = std::iter::once(start).chain(deltas.map(|delta| chunk(delta, None))).chain([end, usage]);
    chunks.map(|data| event(&data)).chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

fn error(kind: &str, message: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
}
