//! The Responses API: a conversation as it takes one, and answers from their events or whole.
//!
//! Nothing is kept by the server (`store` is off), and the whole conversation goes along each time, as with chat
//! completions. See <https://platform.openai.com/docs/api-reference/responses> and `/responses-streaming` beside it.

use crate::answer::Answer;
use crate::calls::Piece;
use crate::failure;
use crate::form::Form;
use crate::request;
use crate::settings::Settings;
use prx_sdk::calls::{self, CallIds};
use prx_sdk::json;
use prx_sdk::media::{FilePart, Files};
use prx_sdk::parts::Part;
use prx_sdk::provider::{
    AssistantMessage, Message, ProviderError, Request, StopReason, ToolCall, ToolSpec, UserMessage,
};
use serde_json::{Value, json};

/// Fewest tokens of an answer that may be asked for.
const MIN_OUTPUT_TOKENS: u32 = 16;

/// The body of a request.
pub(crate) fn body(request: &Request, settings: &Settings, form: &Form) -> Value {
    let mut files = request::files(request, settings);
    let mut ids = CallIds::default();
    let input: Vec<Value> =
        request.messages.iter().flat_map(|message| items(message, &mut files, &mut ids, form)).collect();
    let mut body =
        json!({"model": settings.model.as_str(), "input": input, "stream": settings.stream, "store": false});
    if form.has("include") {
        // Nothing is kept by the server, so reasoning is returned with each request.
        body["include"] = json!(["reasoning.encrypted_content"]);
    }
    if !request.system.is_empty() {
        body["instructions"] = request.system.as_str().into();
    }
    let tools = request::offered(&request.tools, settings, form);
    if !tools.is_empty() {
        body["tools"] = tools.iter().map(tool).collect();
    }
    if let Some(most) = settings.tuning.max_tokens {
        body["max_output_tokens"] = most.max(MIN_OUTPUT_TOKENS).into();
    }
    if let Some(temperature) = settings.tuning.temperature.filter(|_| form.has("temperature")) {
        body["temperature"] = temperature.into();
    }
    if let Some(effort) = settings.tuning.effort.as_deref().filter(|_| form.has("reasoning")) {
        body["reasoning"] = json!({ "effort": effort });
    }
    request::with_extra(body, settings)
}

/// A message as items: its words, and each call on its own.
fn items(message: &Message, files: &mut Files, ids: &mut CallIds, form: &Form) -> Vec<Value> {
    match message {
        Message::User(message) => vec![user(message, files)],
        Message::Assistant(message) => assistant(message, ids, form),
        Message::ToolResult(result) => {
            let (id, output) = (ids.result(&result.id), request::result_text(result));
            vec![json!({"type": "function_call_output", "call_id": id, "output": output})]
        }
    }
}

fn user(message: &UserMessage, files: &mut Files) -> Value {
    let shown: Vec<Value> =
        message.attachments.iter().filter_map(|attached| files.take(attached)).map(file).collect();
    if shown.is_empty() {
        return json!({"role": "user", "content": message.text});
    }
    let text = (!message.text.is_empty()).then(|| json!({"type": "input_text", "text": message.text}));
    json!({"role": "user", "content": shown.into_iter().chain(text).collect::<Vec<Value>>()})
}

fn file(shown: FilePart) -> Value {
    match shown {
        FilePart::Image { mime, data } => {
            json!({"type": "input_image", "image_url": format!("data:{mime};base64,{data}")})
        }
        FilePart::Pdf { name, data } => {
            let data = format!("data:application/pdf;base64,{data}");
            json!({"type": "input_file", "filename": name, "file_data": data})
        }
        FilePart::Text(words) => json!({"type": "input_text", "text": words}),
    }
}

fn assistant(message: &AssistantMessage, ids: &mut CallIds, form: &Form) -> Vec<Value> {
    ids.begin();
    let said = |text: &str| json!({"role": "assistant", "content": text});
    let item = |part| match part {
        Part::Own(item) => Some(item).filter(|_| form.returns("reasoning")),
        Part::Text(text) => Some(said(text)),
        Part::Call(call) => Some(function_call(call, ids)),
    };
    let mut items: Vec<Value> = Part::all(message).into_iter().filter_map(item).collect();
    if message.text.is_empty() && message.tool_calls.is_empty() {
        items.push(said(""));
    }
    items
}

fn function_call(call: &ToolCall, ids: &mut CallIds) -> Value {
    let (id, name) = (ids.call(&call.id), calls::name(&call.name));
    json!({"type": "function_call", "call_id": id, "name": name, "arguments": request::arguments(call)})
}

fn tool(tool: &ToolSpec) -> Value {
    let parameters: Value = serde_json::from_str(&tool.parameters).unwrap_or_default();
    // Strict schemas allow less than the tools' own.
    json!({"type": "function", "name": tool.name, "description": tool.description, "parameters": parameters,
        "strict": false})
}

/// Takes an event in, or the whole answer. Events of other kinds are passed over.
///
/// # Errors
/// It says that there will be no answer.
pub(crate) fn take(answer: &mut Answer<'_>, event: &Value) -> Result<(), ProviderError> {
    let delta = json::text(&event["delta"]).unwrap_or_default();
    match event["type"].as_str().unwrap_or_default() {
        "response.created" | "response.in_progress" => answer.begin(),
        "response.output_text.delta" | "response.refusal.delta" => answer.say(delta)?,
        "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => answer.think(delta),
        // Paragraphs of a summary come without anything between them.
        "response.reasoning_summary_part.done" => answer.think("\n\n"),
        "response.output_item.added" => begin(answer, event)?,
        "response.function_call_arguments.delta" => {
            let arguments = delta.to_owned();
            answer.call(Piece {
                index: json::number(&event["output_index"]),
                arguments,
                ..Piece::default()
            })?;
        }
        "response.output_item.done" => finish(answer, json::number(&event["output_index"]), &event["item"])?,
        "response.completed" | "response.incomplete" | "response.failed" => end(answer, &event["response"])?,
        "error" => {
            let error = if event["error"].is_null() { event } else { &event["error"] };
            return Err(failure::mid_stream(error));
        }
        // An answer that does not stream, or an error of a proxy's.
        _ if event["output"].is_array() => end(answer, event)?,
        "" if !event["error"].is_null() => return Err(failure::mid_stream(&event["error"])),
        "" => answer.set_aside(event.clone()),
        _ => {}
    }
    Ok(())
}

/// An item begins; of a call its name is known.
fn begin(answer: &mut Answer<'_>, event: &Value) -> Result<(), ProviderError> {
    answer.begin();
    let item = &event["item"];
    if item["type"] == "function_call" {
        answer.call(Piece { index: json::number(&event["output_index"]), ..call(item) })?;
    }
    Ok(())
}

fn call(item: &Value) -> Piece {
    let id = json::text(&item["call_id"]).or_else(|| json::text(&item["id"])).map(str::to_owned);
    let arguments = match &item["arguments"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        whole => whole.to_string(),
    };
    Piece { id, name: json::text(&item["name"]).map(str::to_owned), arguments, ..Piece::default() }
}

/// An item is there, whole: what of it has not come in pieces is taken in now.
fn finish(answer: &mut Answer<'_>, index: Option<u64>, item: &Value) -> Result<(), ProviderError> {
    answer.begin();
    match item["type"].as_str().unwrap_or_default() {
        "function_call" => {
            let piece = call(item);
            match piece.id.clone().filter(|id| answer.calls.knows(id)) {
                Some(id) if !piece.arguments.is_empty() => {
                    answer.calls.settle(index, Some(&id), &piece.arguments);
                }
                Some(_) => {}
                None => answer.call(Piece { index, ..piece })?,
            }
        }
        "reasoning" if is_readable(item) => {
            // It may come a second time, at the end.
            answer.parts.retain(|known| known["id"].is_null() || known["id"] != item["id"]);
            answer.parts.own(item.clone());
        }
        "message" => {
            for part in json::items(&item["content"]) {
                if let Some(text) = json::text(&part["text"]).or_else(|| json::text(&part["refusal"])) {
                    answer.say_whole(text)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether the server can read an item of reasoning again, of which it has kept nothing.
fn is_readable(item: &Value) -> bool {
    json::text(&item["encrypted_content"]).is_some() || !json::items(&item["content"]).is_empty()
}

/// The answer is at its end, and said once more as a whole.
fn end(answer: &mut Answer<'_>, response: &Value) -> Result<(), ProviderError> {
    let usage = &response["usage"];
    answer.count(
        &usage["input_tokens"],
        &usage["output_tokens"],
        &usage["input_tokens_details"]["cached_tokens"],
    );
    if response["status"] == "failed" || response["status"] == "cancelled" || !response["error"].is_null() {
        let error = if response["error"].is_null() { response } else { &response["error"] };
        return Err(failure::mid_stream(error));
    }
    if answer.is_empty() {
        for (index, item) in (0..).zip(json::items(&response["output"])) {
            finish(answer, Some(index), item)?;
        }
    }
    answer.begin();
    answer.stop = Some(match json::text(&response["incomplete_details"]["reason"]) {
        Some("max_output_tokens") => StopReason::Length,
        Some("content_filter") => StopReason::Refused,
        Some(_) => StopReason::Other,
        None => StopReason::End,
    });
    Ok(())
}
