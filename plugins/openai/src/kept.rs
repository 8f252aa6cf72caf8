//! What servers of chat completions want to see again with an answer of their own: reasoning, and signatures of it.
//!
//! Each calls it something else: `reasoning_content` at DeepSeek and Kimi, `reasoning_details` at OpenRouter,
//! `extra_content` on the message or on a call at Gemini. It is returned under the name that it came under.

use crate::form::Form;
use prx_sdk::json;
use prx_sdk::parts::within_bound;
use prx_sdk::provider::{AssistantMessage, Message};
use serde_json::{Map, Value, json};

/// Fields of a message that come in pieces of text.
const TEXTS: [&str; 2] = ["reasoning_content", "reasoning"];
/// Fields of a message that come as items or in pieces of them.
const LISTS: [&str; 2] = ["reasoning_details", "thinking_blocks"];
/// Fields of a message, and of a call, that come whole.
pub(crate) const WHOLES: [&str; 3] = ["extra_content", "provider_specific_fields", "thought_signature"];

/// Fields of an item that come in pieces.
const PIECES: [&str; 4] = ["text", "summary", "thinking", "signature"];
/// Most items of a list.
const MAX_ITEMS: usize = 1024;

/// What a message has by now.
#[derive(Default)]
pub(crate) struct Kept(Map<String, Value>);

impl Kept {
    /// Takes in what a delta has of it, or a whole message, which repeats what has come.
    pub(crate) fn take(&mut self, message: &Value, is_whole: bool) {
        for field in TEXTS {
            if let Some(text) = json::text(&message[field]) {
                match self.0.get_mut(field) {
                    Some(_) if is_whole => {}
                    Some(Value::String(so_far)) => so_far.push_str(text),
                    _ => self.set(field, text.into()),
                }
            }
        }
        for field in LISTS {
            let pieces = message[field].as_array().map(Vec::as_slice).unwrap_or_default();
            if pieces.is_empty() || (is_whole && self.0.contains_key(field)) {
                continue;
            }
            let items = self.0.entry(field).or_insert_with(|| json!([]));
            if let Value::Array(items) = items {
                pieces.iter().for_each(|piece| add(items, piece));
            }
        }
        for (field, value) in wholes(message) {
            self.set(&field, value);
        }
    }

    fn set(&mut self, field: &str, value: Value) {
        self.0.insert(field.to_owned(), value);
    }

    /// What is to be kept of it; none: nothing.
    pub(crate) fn into_data(mut self) -> Option<String> {
        // The same under two names.
        if TEXTS[..1].iter().chain(&LISTS).any(|field| self.0.contains_key(*field)) {
            self.0.remove("reasoning");
        }
        (!self.0.is_empty()).then(|| Value::Object(self.0).to_string()).and_then(within_bound)
    }
}

/// The fields of a message or a call that come whole.
pub(crate) fn wholes(of: &Value) -> Map<String, Value> {
    let found = WHOLES.iter().filter_map(|field| of.get(*field).map(|value| ((*field).to_owned(), value)));
    let is_something = |value: &&Value| match value {
        Value::Object(fields) => !fields.is_empty(),
        value => json::text(value).is_some(),
    };
    found.filter(|(_, value)| is_something(value)).map(|(field, value)| (field, value.clone())).collect()
}

/// Adds an item, or a piece of the last one.
fn add(items: &mut Vec<Value>, piece: &Value) {
    let is_piece = |last: &Value| {
        let is_same = |key: &str| piece[key].is_null() || last[key].is_null() || piece[key] == last[key];
        let is_signed = json::text(&last["signature"]).is_some();
        let goes_on = PIECES.iter().any(|key| last[*key].is_string() && piece[*key].is_string());
        let is_signature = json::text(&piece["signature"]).is_some() && json::text(&piece["data"]).is_none();
        ["type", "index", "id"].into_iter().all(is_same) && !is_signed && (goes_on || is_signature)
    };
    let count = items.len();
    match (items.last_mut().filter(|last| is_piece(last)), piece) {
        (Some(Value::Object(last)), Value::Object(more)) => {
            for (key, value) in more.iter().filter(|(_, value)| !value.is_null()) {
                match (last.get_mut(key), value) {
                    (Some(Value::String(so_far)), Value::String(more)) if PIECES.contains(&key.as_str()) => {
                        so_far.push_str(more);
                    }
                    _ => {
                        last.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        _ if count < MAX_ITEMS => items.push(piece.clone()),
        _ => {}
    }
}

/// Which of these messages are part of a turn with calls: only there the reasoning is wanted, and elsewhere it would be
/// read, and paid for, for nothing.
pub(crate) fn in_turns_with_calls(messages: &[Message]) -> Vec<bool> {
    let is_user = |message: &Message| matches!(message, Message::User(_));
    let calls =
        |message: &Message| matches!(message, Message::Assistant(said) if !said.tool_calls.is_empty());
    let turns = messages.chunk_by(|_, next| !is_user(next));
    turns.flat_map(|turn| std::iter::repeat_n(turn.iter().any(calls), turn.len())).collect()
}

/// Gives a message what its server wants to see again.
pub(crate) fn give_back(said: &mut Value, message: &AssistantMessage, form: &Form) {
    let kept = message.data.as_ref().and_then(|data| data.message.as_deref()).map(fields).unwrap_or_default();
    for (field, value) in kept.into_iter().filter(|(field, _)| form.returns(field)) {
        said[field] = value;
    }
    if form.wants_reasoning && !message.tool_calls.is_empty() && said["reasoning_content"].is_null() {
        // Another model's answer has none, and an empty one would count as none.
        said["reasoning_content"] = " ".into();
    }
}

/// Gives a call what its server wants to see again.
pub(crate) fn give_back_with_call(call: &mut Value, id: &str, message: &AssistantMessage, form: &Form) {
    let of_calls = message.data.iter().flat_map(|data| &data.calls);
    let kept = of_calls.filter(|(of, _)| of == id).flat_map(|(_, data)| fields(data));
    for (field, value) in kept.filter(|(field, _)| form.returns(field)) {
        call[field] = value;
    }
    if form.wants_signatures && WHOLES.iter().all(|field| call[*field].is_null()) {
        // What Google documents for calls that another model has made.
        let signature = json!({"thought_signature": "skip_thought_signature_validator"});
        call["extra_content"] = json!({ "google": signature });
    }
}

fn fields(data: &str) -> Map<String, Value> {
    serde_json::from_str(data).unwrap_or_default()
}
