//! A conversation as the API takes it.

use crate::settings::Settings;
use prx_sdk::log;
use prx_sdk::media::{FilePart, Files};
use prx_sdk::provider::{AssistantMessage, Message, Request, ToolCall, ToolResult, ToolSpec, UserMessage};
use serde_json::{Map, Value, json};

/// Most tools that OpenAI takes in a request.
const MAX_TOOLS: usize = 128;
/// Most characters of a tool's description that it takes.
const MAX_DESCRIPTION_CHARS: usize = 1024;

/// The body of a request.
pub(crate) fn body(request: &Request, settings: &Settings) -> Value {
    let system = (!request.system.is_empty()).then(|| json!({"role": "system", "content": request.system}));
    let read = if settings.files { Files::read } else { Files::read_texts };
    let mut files = read(&request.messages);
    let said = request.messages.iter().map(|said| message(said, &mut files));
    let messages: Vec<Value> = system.into_iter().chain(said).collect();
    let mut body = json!({"model": settings.model, "messages": messages, "stream": settings.stream});
    if settings.stream {
        body["stream_options"] = json!({"include_usage": true});
    }
    if !request.tools.is_empty() {
        let offered =
            if settings.is_openai() { within_limits(&request.tools) } else { request.tools.clone() };
        body["tools"] = offered.iter().map(tool).collect();
    }
    if let Some(most) = settings.tuning.max_tokens {
        // OpenAI's newer models refuse the older name, most other servers know no other.
        let name = if settings.is_openai() { "max_completion_tokens" } else { "max_tokens" };
        body[name] = most.into();
    }
    if let Some(temperature) = settings.tuning.temperature {
        body["temperature"] = temperature.into();
    }
    if let Some(effort) = &settings.tuning.effort {
        body["reasoning_effort"] = effort.as_str().into();
    }
    body
}

fn message(message: &Message, files: &mut Files) -> Value {
    match message {
        Message::User(message) => user(message, files),
        Message::Assistant(message) => assistant(message),
        Message::ToolResult(result) => tool_result(result),
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

fn assistant(message: &AssistantMessage) -> Value {
    let mut said = json!({"role": "assistant", "content": message.text});
    if !message.tool_calls.is_empty() {
        said["tool_calls"] = message.tool_calls.iter().map(tool_call).collect();
    }
    said
}

fn tool_call(call: &ToolCall) -> Value {
    // Servers read this text themselves, and fail where it is no object.
    let is_object = serde_json::from_str::<Map<String, Value>>(&call.arguments).is_ok();
    let arguments = if is_object { call.arguments.as_str() } else { "{}" };
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

fn tool_result(result: &ToolResult) -> Value {
    let content = if result.is_error { format!("error: {}", result.text) } else { result.text.clone() };
    json!({"role": "tool", "tool_call_id": result.id, "content": content})
}

/// The tools as OpenAI itself takes them: one that it refuses would cost the whole request. The kernel holds calls to the
/// whole schema in any case.
fn within_limits(tools: &[ToolSpec]) -> Vec<ToolSpec> {
    if tools.len() > MAX_TOOLS {
        let left_out: Vec<&str> = tools[MAX_TOOLS..].iter().map(|tool| tool.name.as_str()).collect();
        log::warn(&format!("OpenAI takes {MAX_TOOLS} tools at most; left out: {}", left_out.join(", ")));
    }
    let fitting = |tool: &ToolSpec| {
        let mut schema: Map<String, Value> = serde_json::from_str(&tool.parameters).unwrap_or_default();
        schema.retain(|key, _| !["oneOf", "anyOf", "allOf", "enum", "not"].contains(&key.as_str()));
        let description = tool.description.chars().take(MAX_DESCRIPTION_CHARS).collect();
        ToolSpec { name: tool.name.clone(), description, parameters: Value::Object(schema).to_string() }
    };
    tools.iter().take(MAX_TOOLS).map(fitting).collect()
}

fn tool(tool: &ToolSpec) -> Value {
    let mut schema: Map<String, Value> = serde_json::from_str(&tool.parameters).unwrap_or_default();
    schema.entry("type").or_insert("object".into());
    if schema["type"] == "object" {
        // Some servers refuse an object that says nothing of its properties.
        schema.entry("properties").or_insert_with(|| json!({}));
    }
    let function = json!({"name": tool.name, "description": tool.description, "parameters": schema});
    json!({"type": "function", "function": function})
}
