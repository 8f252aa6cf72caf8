//! Anthropic's Messages API.

use hyper::HeaderMap;
use serde_json::{Value, json};

use super::dialect::Call;
use super::{Dialect, KEY};

pub(super) const DIALECT: Dialect = Dialect {
    provider: "anthropic",
    model: "claude-opus-5-5",
    base: "",
    settings: "",
    conversation: "messages",
    path: "/v1/messages",
    key: || ("x-api-key", KEY.to_owned()),
    ask: |text| {
        let content = json!([{"type": "text", "text": text}]);
        json!({"model": DIALECT.model, "max_tokens": 1000, "stream": true,
            "messages": [{"role": "user", "content": content}]})
    },
    check,
    said_last,
    refusal: |message| error("invalid_request_error", message).to_string(),
    words,
    calls,
    overloaded: || event(&error("overloaded_error", "Overloaded")),
};

fn check(headers: &HeaderMap, body: &Value) -> Result<(), String> {
    if headers.get("anthropic-version").is_none_or(|version| version != "2023-06-01") {
        return Err("anthropic-version: header is required".into());
    }
    if body["model"] != DIALECT.model || !body["max_tokens"].is_u64() || body["stream"] != true {
        return Err("model, max_tokens, stream: required".into());
    }
    let turns = body["messages"].as_array().ok_or("messages: required")?;
    let mut open: Vec<&Value> = Vec::new();
    for (turn, role) in turns.iter().zip(["user", "assistant"].into_iter().cycle()) {
        if turn["role"] != role {
            return Err("messages: roles must alternate, beginning with the user".into());
        }
        let blocks = turn["content"].as_array().filter(|blocks| !blocks.is_empty());
        let blocks = blocks.ok_or("messages: content must not be empty")?;
        let of = |kind: &str, key: &str| -> Vec<&Value> {
            blocks.iter().filter(|block| block["type"] == kind).map(|block| &block[key]).collect()
        };
        if of("text", "text").iter().any(|text| text.as_str().is_none_or(|text| text.trim().is_empty())) {
            return Err("messages: text content blocks must be non-empty".into());
        }
        if of("tool_result", "tool_use_id") != open {
            return Err("messages: each tool_use must have its tool_result in the next message".into());
        }
        open = of("tool_use", "id");
        if of("tool_use", "input").iter().any(|input| !input.is_object()) {
            return Err("messages: input must be an object".into());
        }
    }
    if turns.len() % 2 == 1 && open.is_empty() {
        Ok(())
    } else {
        Err("messages: the user speaks last".into())
    }
}

fn said_last(body: &Value) -> String {
    let last = body["messages"].as_array().and_then(|turns| turns.last()?["content"].as_array()?.last());
    let text =
        last.map(|block| if block["type"] == "text" { &block["text"] } else { &block["content"][0]["text"] });
    text.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn words(words: &[&str]) -> Vec<String> {
    let begin =
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let said = words.iter().map(|word| {
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
    });
    let end = json!({"type": "content_block_stop", "index": 0});
    let blocks = std::iter::once(begin).chain(said).chain([json!({"type": "ping"}), end]);
    framed(blocks, "end_turn")
}

fn calls(calls: &[Call<'_>]) -> Vec<String> {
    let blocks = calls.iter().enumerate().flat_map(|(index, (id, name, arguments))| {
        let arguments = arguments.to_string();
        let (one, two) = arguments.split_at(arguments.len() / 2);
        let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
        let piece = |text: &str| {
            json!({"type": "content_block_delta", "index": index,
                "delta": {"type": "input_json_delta", "partial_json": text}})
        };
        [
            json!({"type": "content_block_start", "index": index, "content_block": block}),
            piece(one),
            piece(two),
            json!({"type": "content_block_stop", "index": index}),
        ]
    });
    framed(blocks, "tool_use")
}

fn framed(blocks: impl Iterator<Item = Value>, reason: &str) -> Vec<String> {
    let start = json!({"type": "message_start", "message": {"id": "msg_01", "type": "message", "role": "assistant",
        "content": [], "model": DIALECT.model, "stop_reason": null, "usage": {"input_tokens": 10,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 90, "output_tokens": 1}}});
    let end = json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
        "usage": {"output_tokens": 7}});
    let all = std::iter::once(start).chain(blocks).chain([end, json!({"type": "message_stop"})]);
    all.map(|data| event(&data)).collect()
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}

fn error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011"})
}
