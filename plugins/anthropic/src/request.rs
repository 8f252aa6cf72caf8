//! A conversation as the API takes it.

use crate::form::Form;
use crate::settings::Settings;
use prx_sdk::calls::{self, CallIds};
use prx_sdk::media::{FilePart, Files};
use prx_sdk::parts::Part;
use prx_sdk::provider::{AssistantMessage, Message, Request, ToolCall, ToolResult, ToolSpec, UserMessage};
use serde_json::{Map, Value, json};

/// What stands in the form for the thoughts of earlier answers.
pub(crate) const THOUGHTS: &str = "thoughts";

/// The body of a request.
pub(crate) fn body(request: &Request, settings: &Settings, form: &Form) -> Value {
    let mut body = json!({
        "model": settings.model.as_str(),
        "max_tokens": form.max_tokens(settings),
        "messages": messages(&request.messages, form.has(THOUGHTS)),
        "stream": true,
    });
    if !request.system.is_empty() {
        let mut system = text(&request.system);
        mark(&mut system);
        body["system"] = json!([system]);
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(tool).collect();
    }
    if let Some(temperature) = settings.tuning.temperature.filter(|_| form.has("temperature")) {
        body["temperature"] = temperature.into();
    }
    if let Some(effort) = settings.tuning.effort.as_ref().filter(|_| form.has("output_config")) {
        body["output_config"] = json!({ "effort": effort });
    }
    for (name, value) in settings.extra.iter().filter(|(name, _)| form.has(name)) {
        body[name] = value.clone();
    }
    body
}

/// The messages in turns: what one side says in a row, and the results of tools before what the user says next, is
/// one message. Up to here the API may keep what it has read for the request that follows. `thoughts`: with the model's
/// thoughts, which the API wants to see again before the calls that they led to.
fn messages(said: &[Message], thoughts: bool) -> Vec<Value> {
    let mut files = Files::read(said);
    let mut ids = CallIds::default();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in said {
        let (role, blocks) = match message {
            Message::User(message) => ("user", user(message, &mut files)),
            Message::Assistant(message) => ("assistant", assistant(message, &mut ids, thoughts)),
            Message::ToolResult(result) => ("user", vec![tool_result(result, &mut ids)]),
        };
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some(turn) if turn.0 == role => turn.1.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    if let Some(last) = turns.last_mut().and_then(|turn| turn.1.last_mut()) {
        mark(last);
    }
    turns.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect()
}

fn user(message: &UserMessage, files: &mut Files) -> Vec<Value> {
    let shown = message.attachments.iter().filter_map(|file| files.take(file)).map(file);
    shown.chain(said(&message.text)).collect()
}

fn file(shown: FilePart) -> Value {
    let source = |mime, data| json!({ "type": "base64", "media_type": mime, "data": data });
    match shown {
        FilePart::Image { mime, data } => json!({ "type": "image", "source": source(mime, data) }),
        FilePart::Pdf { name, data } => {
            json!({ "type": "document", "title": name, "source": source("application/pdf".to_owned(), data) })
        }
        FilePart::Text(words) => text(&words),
    }
}

fn assistant(message: &AssistantMessage, ids: &mut CallIds, thoughts: bool) -> Vec<Value> {
    ids.begin();
    let block = |part| match part {
        Part::Own(block) => Some(block).filter(|_| thoughts),
        Part::Text(words) => said(words).next(),
        Part::Call(call) => Some(tool_use(call, ids)),
    };
    Part::all(message).into_iter().filter_map(block).collect()
}

/// A text, unless there is nothing in it: the API refuses that.
fn said(words: &str) -> impl Iterator<Item = Value> {
    (!words.trim().is_empty()).then(|| text(words)).into_iter()
}

fn text(words: &str) -> Value {
    json!({ "type": "text", "text": words })
}

fn tool_use(call: &ToolCall, ids: &mut CallIds) -> Value {
    let input: Map<String, Value> = serde_json::from_str(&call.arguments).unwrap_or_default();
    json!({ "type": "tool_use", "id": ids.call(&call.id), "name": calls::name(&call.name), "input": input })
}

fn tool_result(result: &ToolResult, ids: &mut CallIds) -> Value {
    let (id, content) = (ids.result(&result.id), said(&result.text).collect::<Vec<Value>>());
    json!({ "type": "tool_result", "tool_use_id": id, "content": content, "is_error": result.is_error })
}

fn tool(tool: &ToolSpec) -> Value {
    let mut schema: Map<String, Value> = serde_json::from_str(&tool.parameters).unwrap_or_default();
    schema.entry("type").or_insert("object".into());
    // The API refuses the whole request for one of these. The kernel holds calls to the whole schema in any case.
    for key in ["oneOf", "anyOf", "allOf"] {
        schema.remove(key);
    }
    json!({ "name": tool.name, "description": tool.description, "input_schema": schema })
}

/// Lets the API keep everything up to this block.
fn mark(block: &mut Value) {
    block["cache_control"] = json!({ "type": "ephemeral" });
}
