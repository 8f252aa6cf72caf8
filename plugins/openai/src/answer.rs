//! An answer from its chunks, or whole.

use crate::calls::{Calls, Piece};
use crate::failure;
use crate::tokens;
use prx_sdk::http;
use prx_sdk::provider::{Completion, Delta, ProviderError, Sink, StopReason, ToolCall, Usage};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeMap;

/// Most bytes of an answer, its tool calls included.
const MAX_ANSWER_BYTES: usize = 2 << 20;

/// What of an answer has come.
pub(crate) struct Answer {
    text: String,
    calls: Calls,
    stop: Option<StopReason>,
    usage: Option<Tokens>,
    length: usize,
    /// Calls of the conversation before this answer.
    earlier: usize,
}

/// A chunk of an answer, or the whole. Servers leave out what they like.
#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Tokens>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Content>,
    refusal: Option<String>,
    /// Servers have two names for the reasoning.
    reasoning: Option<String>,
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<Piece>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
}

impl Answer {
    /// An answer in a conversation that has had so many tool calls.
    pub(crate) fn new(earlier: usize) -> Self {
        Self { text: String::new(), calls: Calls::default(), stop: None, usage: None, length: 0, earlier }
    }

    /// Takes a chunk in, and passes on what it says. False: nobody listens any more.
    pub(crate) fn take(&mut self, chunk: &[u8], sink: &Sink) -> Result<bool, ProviderError> {
        let nonsense = |_| http::Error::new(http::ErrorKind::Unexpected, "an answer that makes no sense");
        let chunk: Chunk = serde_json::from_slice(chunk).map_err(nonsense)?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(failure::mid_stream(error));
        }
        self.usage = chunk.usage.or(self.usage.take());
        // One answer was asked for.
        let Some(choice) = chunk.choices.into_iter().flatten().next() else { return Ok(true) };
        let listens = choice.delta.map_or(Ok(true), |message| self.take_message(message, sink))?;
        self.stop = choice.finish_reason.as_deref().map(stop).or(self.stop);
        Ok(listens)
    }

    /// The server has said that this was all.
    pub(crate) fn end(&mut self) {
        self.stop = self.stop.or(Some(StopReason::End));
    }

    /// The whole of it. `read` estimates what the server read, in case that it doesn't tell.
    ///
    /// # Errors
    /// It has not come to its end.
    pub(crate) fn completed(self, read: impl FnOnce() -> u64) -> Result<Completion, ProviderError> {
        let cut = http::Error::new(http::ErrorKind::Unexpected, "the answer ended before its end");
        let stop = match self.stop.ok_or(cut)? {
            StopReason::End | StopReason::Other if !self.calls.is_empty() => StopReason::ToolUse,
            stop => stop,
        };
        // Of an answer that was cut at its greatest length, the last call may be half a call.
        let whole = |call: &ToolCall| {
            stop != StopReason::Length
                || serde_json::from_str::<BTreeMap<String, IgnoredAny>>(&call.arguments).is_ok()
        };
        let tool_calls = self.calls.into_calls().into_iter().filter(whole).collect();
        let usage = Usage { input: 0, output: 0, cached: 0 };
        let mut completion = Completion { text: self.text, tool_calls, stop, usage };
        completion.usage = match self.usage {
            Some(tokens) => tokens.into(),
            None => Usage { input: read(), output: tokens::of_answer(&completion), cached: 0 },
        };
        Ok(completion)
    }

    fn take_message(&mut self, message: Message, sink: &Sink) -> Result<bool, ProviderError> {
        let mut listens = true;
        for thinking in [message.reasoning_content, message.reasoning].into_iter().flatten() {
            listens &= thinking.is_empty() || sink.push(Delta::Thinking(thinking));
        }
        let content = message.content.map(|content| match content {
            Content::Text(text) => text,
            Content::Parts(parts) => parts.into_iter().map(|part| part.text).collect(),
        });
        for text in [content, message.refusal].into_iter().flatten().filter(|text| !text.is_empty()) {
            self.grow(text.len())?;
            self.text.push_str(&text);
            listens &= sink.text(text);
        }
        for piece in message.tool_calls.into_iter().flatten() {
            let (more, begun) = self.calls.take(piece, self.earlier);
            if let Some(call) = begun {
                listens &= sink.push(Delta::ToolCallStarted((call.id.clone(), call.name.clone())));
            }
            self.grow(more)?;
        }
        Ok(listens)
    }

    fn grow(&mut self, more: usize) -> Result<(), ProviderError> {
        self.length += more;
        if self.length <= MAX_ANSWER_BYTES {
            return Ok(());
        }
        let message = format!(
            "the answer is longer than {MAX_ANSWER_BYTES} bytes; set providers_config.openai.max_tokens lower"
        );
        Err(http::Error::new(http::ErrorKind::TooLarge, message).into())
    }
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        let cached = tokens.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
        Self { input: tokens.prompt_tokens, output: tokens.completion_tokens, cached }
    }
}

fn stop(reason: &str) -> StopReason {
    match reason {
        "stop" | "eos" => StopReason::End,
        "tool_calls" | "function_call" => StopReason::ToolUse,
        "length" => StopReason::Length,
        "content_filter" => StopReason::Refused,
        _ => StopReason::Other,
    }
}
