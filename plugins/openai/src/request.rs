//! A conversation as chat completions take it.

use crate::form::{self, Form};
use crate::kept;
use crate::settings::Settings;
use prx_sdk::calls::{self, CallIds};
use prx_sdk::log;
use prx_sdk::media::{FilePart, Files};
use prx_sdk::provider::{AssistantMessage, Message, Request, ToolCall, ToolResult, ToolSpec, UserMessage};
use serde_json::{Map, Value, json};

/// The body of a request for a chat completion.
pub(crate) fn body(request: &Request, settings: &Settings, form: &Form) -> Value {
    let system = (!request.system.is_empty()).then(|| json!({"role": "system", "content": request.system}));
    let mut files = files(request, settings);
    let mut ids = CallIds::default();
    let returned = kept::in_turns_with_calls(&request.messages).into_iter();
    let said = request.messages.iter().zip(returned).map(|(said, returned)| {
        let mut shown = message(said, &mut files, &mut ids, form);
        if let Message::Assistant(message) = said
            && returned
        {
            kept::give_back(&mut shown, message, form);
        }
        shown
    });
    let messages: Vec<Value> = system.into_iter().chain(said).collect();
    let mut body = json!({"model": settings.model.as_str(), "messages": messages, "stream": settings.stream});
    if settings.stream && form.has("stream_options") {
        body["stream_options"] = json!({"include_usage": true});
    }
    let tools = offered(&request.tools, settings, form);
    if !tools.is_empty() {
        body["tools"] = tools.iter().map(tool).collect();
    }
    if let Some(most) = settings.tuning.max_tokens {
        body[form.token_limit(settings)] = most.into();
    }
    if let Some(temperature) = settings.tuning.temperature.filter(|_| form.has("temperature")) {
        body["temperature"] = temperature.into();
    }
    if let Some(effort) = settings.tuning.effort.as_deref().filter(|_| form.has("reasoning_effort")) {
        body["reasoning_effort"] = effort.into();
    }
    with_extra(body, settings)
}

/// What of a conversation's files the model is shown.
pub(crate) fn files(request: &Request, settings: &Settings) -> Files {
    let read = if settings.files { Files::read } else { Files::read_texts };
    read(&request.messages)
}

/// A body with the operator's own fields.
pub(crate) fn with_extra(mut body: Value, settings: &Settings) -> Value {
    for (name, value) in &settings.extra {
        body[name] = value.clone();
    }
    body
}

fn message(message: &Message, files: &mut Files, ids: &mut CallIds, form: &Form) -> Value {
    match message {
        Message::User(message) => user(message, files),
        Message::Assistant(message) => assistant(message, ids, form),
        Message::ToolResult(result) => {
            json!({"role": "tool", "tool_call_id": ids.result(&result.id), "content": result_text(result)})
        }
    }
}

fn user(message: &UserMessage, files: &mut Files) -> Value {
    let shown: Vec<Value> =
        message.attachments.iter().filter_map(|attached| files.take(attached)).map(file).collect();
    if shown.is_empty() {
        return json!({"role": "user", "content": message.text});
    }
    let text = (!message.text.is_empty()).then(|| json!({"type": "text", "text": message.text}));
    json!({"role": "user", "content": shown.into_iter().chain(text).collect::<Vec<Value>>()})
}

fn file(shown: FilePart) -> Value {
    match shown {
        FilePart::Image { mime, data } => {
            json!({"type": "image_url", "image_url": {"url": format!("data:{mime};base64,{data}")}})
        }
        FilePart::Pdf { name, data } => {
            let data = format!("data:application/pdf;base64,{data}");
            json!({"type": "file", "file": {"filename": name, "file_data": data}})
        }
        FilePart::Text(words) => json!({"type": "text", "text": words}),
    }
}

fn assistant(message: &AssistantMessage, ids: &mut CallIds, form: &Form) -> Value {
    ids.begin();
    let mut said = json!({"role": "assistant", "content": message.text});
    if !message.tool_calls.is_empty() {
        let shown = |call: &ToolCall| {
            let mut shown = tool_call(call, ids);
            kept::give_back_with_call(&mut shown, &call.id, message, form);
            shown
        };
        said["tool_calls"] = message.tool_calls.iter().map(shown).collect();
        // Strict servers refuse an empty text beside calls.
        if message.text.is_empty() {
            said["content"] = Value::Null;
        }
    }
    said
}

fn tool_call(call: &ToolCall, ids: &mut CallIds) -> Value {
    let function = json!({"name": calls::name(&call.name), "arguments": arguments(call)});
    json!({"id": ids.call(&call.id), "type": "function", "function": function})
}

/// The arguments of a call. Servers read this text themselves, and fail where it is no object.
pub(crate) fn arguments(call: &ToolCall) -> &str {
    let is_object = serde_json::from_str::<Map<String, Value>>(&call.arguments).is_ok();
    if is_object { call.arguments.as_str() } else { "{}" }
}

pub(crate) fn result_text(result: &ToolResult) -> String {
    if result.is_error { format!("error: {}", result.text) } else { result.text.clone() }
}

/// The tools as the server takes them: one that it refuses would cost the whole request. The kernel holds calls to the
/// whole schema in any case.
pub(crate) fn offered(tools: &[ToolSpec], settings: &Settings, form: &Form) -> Vec<ToolSpec> {
    if !form.has("tools") {
        log::warn("the model takes no tools: it is asked without them");
        return Vec::new();
    }
    let most = form.max_tools(settings).min(tools.len());
    if most < tools.len() {
        let left_out: Vec<&str> = tools[most..].iter().map(|tool| tool.name.as_str()).collect();
        log::warn(&format!("the server takes {most} tools at most; left out: {}", left_out.join(", ")));
    }
    let is_plain = form.has_plain_schemas(settings);
    let fitting = |tool: &ToolSpec| {
        let description = tool.description.chars().take(form.max_description.unwrap_or(usize::MAX)).collect();
        ToolSpec { name: tool.name.clone(), description, parameters: schema(tool, is_plain).to_string() }
    };
    tools[..most].iter().map(fitting).collect()
}

/// The schema of a tool's arguments; a plain one has nothing at its top but properties.
fn schema(tool: &ToolSpec, is_plain: bool) -> Value {
    let mut schema: Map<String, Value> = serde_json::from_str(&tool.parameters).unwrap_or_default();
    if is_plain {
        schema.retain(|key, _| !form::TOP_KEYS.contains(&key.as_str()));
        schema.insert("type".to_owned(), "object".into());
    }
    schema.entry("type").or_insert("object".into());
    if schema["type"] == "object" {
        // Some servers refuse an object that says nothing of its properties.
        schema.entry("properties").or_insert_with(|| json!({}));
    }
    Value::Object(schema)
}

fn tool(tool: &ToolSpec) -> Value {
    let parameters: Value = serde_json::from_str(&tool.parameters).unwrap_or_default();
    let function = json!({"name": tool.name, "description": tool.description, "parameters": parameters});
    json!({"type": "function", "function": function})
}
