//! An answer from its events, or whole. Servers that only speak like the API leave out what they like.

use crate::failure;
use prx_sdk::calls::NewIds;
use prx_sdk::http;
use prx_sdk::json;
use prx_sdk::parts::Parts;
use prx_sdk::provider::{Completion, Delta, ProviderError, Request, Sink, StopReason, ToolCall, Usage};
use prx_sdk::refusal::{Refusal, is_failure};
use prx_sdk::thinking::{self, Splitter};
use serde_json::{Value, json};

/// Longest answer, its tool calls included, in bytes.
const MAX_ANSWER_BYTES: usize = 2 << 20;
/// Most calls in one answer.
const MAX_CALLS: usize = 256;

/// What ends an answer that a filter of the server's has cut.
const FILTERED: &str = "[The answer was cut off here by the server's content filter.]";

/// What of an answer has come.
pub(crate) struct Answer<'a> {
    sink: &'a Sink<'a>,
    splitter: Splitter,
    text: String,
    tools: Vec<ToolUse>,
    parts: Parts,
    /// The thoughts in progress: the place that the API gives them, and where they stand in the answer.
    thoughts: Option<(Option<u64>, usize)>,
    ids: NewIds,
    stop: Option<StopReason>,
    usage: Tokens,
    length: usize,
    /// The server has said that this was all.
    is_over: bool,
    /// A block has begun.
    has_begun: bool,
    listens: bool,
    /// What came that is no part of an answer, and may tell why there is none.
    aside: Option<Value>,
}

struct ToolUse {
    /// The place that the API gives it.
    index: Option<u64>,
    id: String,
    name: String,
    /// What it began with. Pieces take its place.
    whole: Value,
    pieces: String,
}

/// Counts so far; what an event leaves out is as it was.
#[derive(Default)]
struct Tokens {
    input: Option<u64>,
    kept: Option<u64>,
    cached: Option<u64>,
    output: Option<u64>,
}

impl<'a> Answer<'a> {
    /// An answer in this conversation. Its pieces go into the sink.
    pub(crate) fn new(request: &Request, sink: &'a Sink<'a>) -> Self {
        Self {
            sink,
            splitter: Splitter::default(),
            text: String::new(),
            tools: Vec::new(),
            parts: Parts::default(),
            thoughts: None,
            ids: NewIds::of(request),
            stop: None,
            usage: Tokens::default(),
            length: 0,
            is_over: false,
            has_begun: false,
            listens: true,
            aside: None,
        }
    }

    /// Takes an event in, whose kind may stand in it or in its name, and passes on what it says. Events of other kinds
    /// are passed over.
    ///
    /// # Errors
    /// It says that there will be no answer.
    pub(crate) fn take(&mut self, event: &Value, name: &str) -> Result<(), ProviderError> {
        let index = json::number(&event["index"]);
        match json::text(&event["type"]).unwrap_or(name) {
            "message_start" => self.usage.update(&event["message"]["usage"]),
            "content_block_start" => self.begin(index, &event["content_block"])?,
            "content_block_delta" => self.go_on(index, &event["delta"])?,
            "message_delta" => {
                self.usage.update(&event["usage"]);
                self.stops(&event["delta"]["stop_reason"])?;
            }
            "message_stop" => self.end(),
            "error" => return Err(failure::mid_stream(event)),
            _ if !event["error"].is_null() => return Err(failure::mid_stream(event)),
            "message" => self.take_whole(event)?,
            "" => self.set_aside(event.clone()),
            _ => {}
        }
        Ok(())
    }

    /// An answer that was not streamed.
    fn take_whole(&mut self, message: &Value) -> Result<(), ProviderError> {
        self.usage.update(&message["usage"]);
        for (index, block) in (0..).zip(json::items(&message["content"])) {
            match json::text(block) {
                Some(text) => self.say(text)?,
                None => self.begin(Some(index), block)?,
            }
        }
        self.stops(&message["stop_reason"])
    }

    /// The server has said that this was all.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    /// Whether its last event has come.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun || self.stop.is_some()
    }

    /// Whether anybody listens to it yet.
    pub(crate) fn is_wanted(&self) -> bool {
        self.listens
    }

    /// What came that is no part of an answer.
    pub(crate) fn set_aside(&mut self, words: Value) {
        if Refusal::of(&words).has_words() {
            self.aside = Some(words);
        }
    }

    /// The whole of it.
    ///
    /// # Errors
    /// It has not come to its end.
    pub(crate) fn completed(mut self) -> Result<Completion, ProviderError> {
        if let Some(rest) = self.splitter.finish() {
            self.pass_on(rest);
        }
        let stop = match self.stop {
            Some(StopReason::ToolUse) if self.tools.is_empty() => StopReason::End,
            Some(stop) => stop,
            None if self.is_over && !self.tools.is_empty() => StopReason::ToolUse,
            None if self.is_over && self.has_begun => StopReason::End,
            None => return Err(self.unfinished()),
        };
        if stop == StopReason::Refused && !self.text.trim().is_empty() {
            let note = format!("\n\n{FILTERED}");
            self.sink.text(note.as_str());
            self.text.push_str(&note);
        }
        let is_cut = matches!(stop, StopReason::Length | StopReason::Refused);
        let tool_calls = self.tools.into_iter().filter_map(|tool| tool.into_call(is_cut)).collect();
        if is_cut {
            // The signature comes last.
            self.parts
                .retain(|block| block["type"] != "thinking" || json::text(&block["signature"]).is_some());
        }
        let (text, data) = (thinking::answer_of(self.text), self.parts.data());
        Ok(Completion { text, tool_calls, stop, usage: self.usage.into(), data })
    }

    /// Why an answer that has no end has none.
    fn unfinished(self) -> ProviderError {
        match self.aside {
            Some(words) => failure::mid_stream(&words),
            None => http::Error::new(http::ErrorKind::Unexpected, "the answer ended before its end").into(),
        }
    }

    fn stops(&mut self, reason: &Value) -> Result<(), ProviderError> {
        if let Some(reason) = json::text(reason) {
            self.stop = stop(reason)?.or(self.stop);
        }
        Ok(())
    }

    fn begin(&mut self, index: Option<u64>, block: &Value) -> Result<(), ProviderError> {
        self.has_begun = true;
        match block["type"].as_str().unwrap_or_default() {
            "text" => self.say(json::text(&block["text"]).unwrap_or_default()),
            "thinking" => {
                let thought = json::text(&block["thinking"]).unwrap_or_default();
                let kept = json!({ "type": "thinking", "thinking": thought });
                self.thoughts = Some((index, self.parts.own(kept)));
                self.sign(index, &block["signature"])?;
                self.think(thought);
                Ok(())
            }
            // Nobody can read it but the API.
            "redacted_thinking" => {
                let data = json::text(&block["data"]).unwrap_or_default();
                self.parts.own(json!({ "type": "redacted_thinking", "data": data }));
                self.grow(data.len())
            }
            "tool_use" if self.tools.len() < MAX_CALLS => {
                let id = self.ids.next(json::text(&block["id"]));
                let name = json::text(&block["name"]).unwrap_or_default().to_owned();
                self.grow(id.len() + name.len())?;
                self.listens &= self.sink.push(Delta::ToolCallStarted((id.clone(), name.clone())));
                let whole = block["input"].clone();
                self.parts.called();
                self.tools.push(ToolUse { index, id, name, whole, pieces: String::new() });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn go_on(&mut self, index: Option<u64>, piece: &Value) -> Result<(), ProviderError> {
        self.has_begun = true;
        match piece["type"].as_str().unwrap_or_default() {
            "text_delta" => self.say(json::text(&piece["text"]).unwrap_or_default()),
            "thinking_delta" => {
                let thought = json::text(&piece["thinking"]).unwrap_or_default();
                self.add(index, "thinking", thought);
                self.think(thought);
                Ok(())
            }
            "signature_delta" => self.sign(index, &piece["signature"]),
            "input_json_delta" => {
                let more = json::text(&piece["partial_json"]).unwrap_or_default();
                self.grow(more.len())?;
                if let Some(tool) =
                    self.tools.iter_mut().rev().find(|tool| index.is_none() || tool.index == index)
                {
                    tool.pieces.push_str(more);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// More of the signature of the thoughts in progress.
    fn sign(&mut self, index: Option<u64>, signature: &Value) -> Result<(), ProviderError> {
        let Some(signature) = signature.as_str() else { return Ok(()) };
        self.add(index, "signature", signature);
        self.grow(signature.len())
    }

    /// Adds to a field of the thoughts in progress.
    fn add(&mut self, index: Option<u64>, field: &str, more: &str) {
        let in_progress = self.thoughts.filter(|(known, _)| index.is_none() || *known == index);
        let Some(block) = in_progress.and_then(|(_, place)| self.parts.own_mut(place)) else { return };
        match &mut block[field] {
            Value::String(text) => text.push_str(more),
            field => *field = more.into(),
        }
    }

    fn say(&mut self, text: &str) -> Result<(), ProviderError> {
        self.has_begun = true;
        self.grow(text.len())?;
        for piece in self.splitter.push(text) {
            self.pass_on(piece);
        }
        Ok(())
    }

    fn think(&mut self, text: &str) {
        if !text.is_empty() {
            self.listens &= self.sink.push(Delta::Thinking(text.to_owned()));
        }
    }

    fn pass_on(&mut self, piece: thinking::Piece) {
        match piece {
            thinking::Piece::Thought(text) => self.think(&text),
            thinking::Piece::Said(text) => {
                self.text.push_str(&text);
                self.parts.said(text.len());
                self.listens &= self.sink.text(text);
            }
        }
    }

    fn grow(&mut self, more: usize) -> Result<(), ProviderError> {
        self.length += more;
        if self.length <= MAX_ANSWER_BYTES {
            return Ok(());
        }
        let message = format!("the answer is longer than {MAX_ANSWER_BYTES} bytes; set a smaller max_tokens");
        Err(http::Error::new(http::ErrorKind::TooLarge, message).into())
    }
}

impl ToolUse {
    /// The call, whole. `is_cut`: it may be half a call, and is left out then.
    fn into_call(self, is_cut: bool) -> Option<ToolCall> {
        let given = match self.whole {
            _ if !self.pieces.trim().is_empty() => self.pieces,
            Value::Null => "{}".to_owned(),
            Value::String(text) => text,
            whole => whole.to_string(),
        };
        let is_object = serde_json::from_str::<serde_json::Map<String, Value>>(&given).is_ok();
        let arguments = match json::arguments(&given).filter(|_| !is_object) {
            Some(object) => Value::Object(object).to_string(),
            None if is_cut && !is_object => return None,
            None => given,
        };
        Some(ToolCall { id: self.id, name: self.name, arguments })
    }
}

impl Tokens {
    /// A count of nothing, as some servers give at the end, changes nothing.
    fn update(&mut self, usage: &Value) {
        let later = |key: &str, earlier| json::number(&usage[key]).filter(|count| *count > 0).or(earlier);
        self.input = later("input_tokens", self.input);
        self.kept = later("cache_creation_input_tokens", self.kept);
        self.cached = later("cache_read_input_tokens", self.cached);
        self.output = later("output_tokens", self.output);
    }
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        let cached = tokens.cached.unwrap_or(0);
        let kept = tokens.kept.unwrap_or(0);
        let input = tokens.input.unwrap_or(0).saturating_add(cached).saturating_add(kept);
        Self { input, output: tokens.output.unwrap_or(0), cached }
    }
}

/// Why the model stopped; none: it has not, whatever the words are there for.
///
/// # Errors
/// It stopped because the server failed.
fn stop(reason: &str) -> Result<Option<StopReason>, ProviderError> {
    Ok(match reason.to_ascii_lowercase().as_str() {
        "null" | "none" => None,
        "end_turn" | "stop_sequence" | "stop" => Some(StopReason::End),
        "tool_use" | "tool_calls" => Some(StopReason::ToolUse),
        "max_tokens" | "model_context_window_exceeded" | "length" => Some(StopReason::Length),
        "refusal" | "content_filter" => Some(StopReason::Refused),
        failure if is_failure(failure) => {
            let words = format!("the answer ended with the reason `{reason}`");
            return Err(failure::mid_stream(&Value::String(words)));
        }
        _ => Some(StopReason::Other),
    })
}
