//! OpenAI's Responses API.

use hyper::HeaderMap;
use serde_json::{Value, json};

use super::dialect::Call;
use super::{Dialect, openai};

pub(super) const DIALECT: Dialect = Dialect {
    settings: "api = \"responses\"",
    path: "/v1/responses",
    ask: |text| json!({"model": Dialect::OPENAI.model, "stream": true, "input": [{"role": "user", "content": text}]}),
    check,
    said_last,
    words,
    calls,
    overloaded: || {
        event(
            &json!({"type": "error", "error": {"type": "server_error", "message": "The server is overloaded"}}),
        )
    },
    conversation: "input",
    ..openai::DIALECT
};

fn check(headers: &HeaderMap, body: &Value) -> Result<(), String> {
    if headers.get("content-length").is_none() || headers.contains_key("transfer-encoding") {
        return Err("content-length: required".into());
    }
    if body["model"] != DIALECT.model || body["stream"] != true || body["store"] != false {
        return Err("model, stream: required; store: nothing is kept here".into());
    }
    let mut open: Vec<&Value> = Vec::new();
    for item in body["input"].as_array().ok_or("input: required")? {
        // https://platform.openai.com/docs/api-reference/responses/create: each call has its output, by its id.
        match item["type"].as_str() {
            Some("function_call") if item["name"].is_string() && item["arguments"].is_string() => {
                open.push(&item["call_id"]);
            }
            Some("function_call_output") => {
                let place = open.iter().position(|id| **id == item["call_id"]);
                open.remove(place.ok_or("No tool call found for function call output")?);
            }
            None | Some("message") if item["content"].is_string() || item["content"].is_array() => {
                if !open.is_empty() {
                    return Err("No tool output found for function call".into());
                }
            }
            _ => return Err(format!("input: no item that there is: {item}")),
        }
    }
    if open.is_empty() { Ok(()) } else { Err("No tool output found for function call".into()) }
}

fn said_last(body: &Value) -> String {
    let Some(last) = body["input"].as_array().and_then(|items| items.last()) else { return String::new() };
    let said = if last["output"].is_string() { &last["output"] } else { &last["content"] };
    match said {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    let item = json!({"type": "message", "id": "msg_1", "role": "assistant", "content": []});
    let delta = |word: &&str| json!({"type": "response.output_text.delta", "output_index": 0, "delta": word});
    let begin = json!({"type": "response.output_item.added", "output_index": 0, "item": item});
    let part = json!({"type": "output_text", "text": words.concat()});
    let whole = json!({"type": "message", "id": "msg_1", "role": "assistant", "content": [part]});
    let end = json!({"type": "response.output_item.done", "output_index": 0, "item": whole});
    let events = std::iter::once(begin).chain(words.iter().map(delta)).chain([end]);
    framed(events, &[whole])
}

fn calls(calls: &[Call<'_>]) -> Vec<String> {
    let item = |(id, name, arguments): &Call<'_>| json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name, "arguments": arguments.to_string()});
    let items: Vec<Value> = calls.iter().map(item).collect();
    let events = items.iter().enumerate().flat_map(|(index, item)| {
        let mut head = item.clone();
        head["arguments"] = "".into();
        [
            json!({"type": "response.output_item.added", "output_index": index, "item": head}),
            json!({"type": "response.function_call_arguments.delta", "output_index": index, "delta": item["arguments"]}),
            json!({"type": "response.output_item.done", "output_index": index, "item": item}),
        ]
    });
    framed(events, &items)
}

fn framed(events: impl Iterator<Item = Value>, output: &[Value]) -> Vec<String> {
    let response = |status: &str| json!({"id": "resp_1", "object": "response", "model": DIALECT.model, "status": status});
    let begin = json!({"type": "response.created", "response": response("in_progress")});
    let mut whole = response("completed");
    whole["output"] = output.into();
    whole["usage"] =
        json!({"input_tokens": 100, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 90}});
    let end = json!({"type": "response.completed", "response": whole});
    std::iter::once(begin).chain(events).chain([end]).map(|data| event(&data)).collect()
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}
