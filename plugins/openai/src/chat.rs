//! Answers of chat completions, from their chunks or whole. Servers leave out what they like, and give it other types.

use crate::answer::Answer;
use crate::calls::Piece;
use crate::failure;
use prx_sdk::json;
use prx_sdk::provider::{ProviderError, StopReason};
use prx_sdk::refusal::is_failure;
use serde_json::{Value, json};

/// Takes a chunk in, or the whole answer.
///
/// # Errors
/// It says that there will be no answer.
pub(crate) fn take(answer: &mut Answer<'_>, chunk: &Value) -> Result<(), ProviderError> {
    if let Some(error) = error_of(chunk) {
        return Err(failure::mid_stream(error));
    }
    // Where it is told differs, and so does what it is called.
    for usage in [&chunk["usage"], &chunk["x_groq"]["usage"], &chunk["choices"][0]["usage"]] {
        count(answer, usage);
    }
    // One answer was asked for.
    let Some(choice) = json::items(&chunk["choices"]).first().filter(|choice| choice.is_object()) else {
        if chunk["choices"].is_null() {
            answer.set_aside(chunk.clone());
        }
        return Ok(());
    };
    if let Some(error) = error_of(choice) {
        return Err(failure::mid_stream(error));
    }
    answer.begin();
    let (delta, whole) = (&choice["delta"], &choice["message"]);
    take_message(answer, delta, false)?;
    // Some servers repeat in the last chunk what was said.
    take_message(answer, whole, true)?;
    if let Some(text) = json::text(&choice["text"]).filter(|_| delta.is_null() && whole.is_null()) {
        answer.say(text)?;
    }
    if let Some(reason) = json::text(&choice["finish_reason"]) {
        answer.stop = stop(reason)?.or(answer.stop);
    }
    Ok(())
}

fn count(answer: &mut Answer<'_>, usage: &Value) {
    let of = |keys: &[&str]| {
        keys.iter().map(|key| &usage[*key]).find(|count| !count.is_null()).unwrap_or(&Value::Null)
    };
    let details = &usage["prompt_tokens_details"]["cached_tokens"];
    let cached = if details.is_null() { of(&["cached_tokens", "prompt_cache_hit_tokens"]) } else { details };
    answer.count(of(&["prompt_tokens", "input_tokens"]), of(&["completion_tokens", "output_tokens"]), cached);
}

/// An error that stands where an answer should.
fn error_of(value: &Value) -> Option<&Value> {
    match &value["error"] {
        Value::Null | Value::Bool(false) => {}
        Value::String(text) if text.is_empty() => {}
        Value::Object(fields) if fields.is_empty() => {}
        error => return Some(error),
    }
    let is_error = value["object"] == "error" || value["type"] == "error";
    is_error.then_some(value)
}

fn take_message(answer: &mut Answer<'_>, message: &Value, is_whole: bool) -> Result<(), ProviderError> {
    answer.kept.take(message, is_whole);
    // Servers have two names for the reasoning, and some give it under both.
    let (reasoning, other) = (json::text(&message["reasoning_content"]), json::text(&message["reasoning"]));
    for thinking in [reasoning, other.filter(|other| Some(*other) != reasoning)].into_iter().flatten() {
        answer.think(thinking);
    }
    for part in json::items(&message["content"]) {
        match part["type"].as_str() {
            Some("thinking" | "reasoning") => thoughts(answer, part),
            _ => {
                let text = json::text(part).or_else(|| json::text(&part["text"])).unwrap_or_default();
                if is_whole { answer.say_whole(text)? } else { answer.say(text)? }
            }
        }
    }
    if let Some(refusal) = json::text(&message["refusal"]) {
        answer.say(refusal)?;
    }
    // Before there were several.
    let single = json!({"function": message["function_call"]});
    let calls = match &message["tool_calls"] {
        Value::Null if message["function_call"].is_object() => std::slice::from_ref(&single),
        calls => json::items(calls),
    };
    for call in calls.iter().filter(|call| call.is_object()) {
        let piece = Piece::of(call);
        let is_known = piece.id.as_ref().is_some_and(|id| answer.calls.knows(id));
        if !(is_whole
            && (is_known || piece.id.is_none() && !answer.calls.is_empty() && piece.index.is_some()))
        {
            answer.call(piece)?;
        }
    }
    Ok(())
}

/// Thoughts that come as a part of the content.
fn thoughts(answer: &mut Answer<'_>, part: &Value) {
    let inner =
        ["thinking", "reasoning", "text"].iter().map(|key| &part[*key]).find(|inner| !inner.is_null());
    for text in inner.map(json::items).unwrap_or_default() {
        if let Some(text) = json::text(text).or_else(|| json::text(&text["text"])) {
            answer.think(text);
        }
    }
}

/// Why the model stopped; none: it has not, whatever the words are there for.
///
/// # Errors
/// It stopped because the server failed.
fn stop(reason: &str) -> Result<Option<StopReason>, ProviderError> {
    Ok(match reason.to_ascii_lowercase().as_str() {
        "null" | "none" | "in_progress" => None,
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "completed" => Some(StopReason::End),
        "tool_calls" | "tool_call" | "function_call" | "tool_use" => Some(StopReason::ToolUse),
        "length" | "max_tokens" | "model_length" | "max_output_tokens" => Some(StopReason::Length),
        "content_filter" | "safety" | "sensitive" | "recitation" | "blocklist" | "prohibited_content"
        | "refusal" | "language" | "spii" | "image_safety" => Some(StopReason::Refused),
        failure if is_failure(failure) => return Err(stopped(reason)),
        "insufficient_system_resource"
        | "malformed_response"
        | "malformed_function_call"
        | "unexpected_tool_call"
        | "too_many_tool_calls"
        | "missing_thought_signature" => return Err(stopped(reason)),
        _ => Some(StopReason::Other),
    })
}

fn stopped(reason: &str) -> ProviderError {
    failure::mid_stream(&json!(format!("the answer ended with the reason `{reason}`")))
}
