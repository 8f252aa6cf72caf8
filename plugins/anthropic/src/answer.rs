//! An answer from its events.

use crate::failure;
use prx_sdk::http;
use prx_sdk::provider::{Completion, Delta, ProviderError, Sink, StopReason, ToolCall, Usage};
use prx_sdk::sse;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// Longest answer, its tool calls included, in bytes.
const MAX_ANSWER_BYTES: usize = 2 << 20;

/// What of an answer has come.
#[derive(Default)]
pub(crate) struct Answer {
    text: String,
    /// By the place that the API gives each.
    tools: BTreeMap<u64, ToolUse>,
    stop: Option<StopReason>,
    usage: Tokens,
    length: usize,
    over: bool,
}

struct ToolUse {
    id: String,
    name: String,
    /// What it began with. Pieces take its place.
    whole: serde_json::Value,
    pieces: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: u64,
        content_block: Block,
    },
    ContentBlockDelta {
        index: u64,
        delta: Piece,
    },
    MessageDelta {
        delta: End,
        #[serde(default)]
        usage: Tokens,
    },
    MessageStop,
    Error {
        error: failure::Refusal,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    usage: Tokens,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: serde_json::Value,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece {
    TextDelta {
        text: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct End {
    stop_reason: Option<String>,
}

/// Counts so far; what an event leaves out is as it was.
#[derive(Default, Deserialize)]
struct Tokens {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl Answer {
    /// Takes an event in, and passes on what it says. False: it is over, or nobody listens any more.
    pub(crate) fn take(&mut self, event: &sse::Event, sink: &Sink) -> Result<bool, ProviderError> {
        let nonsense = |_| http::Error::new(http::ErrorKind::Unexpected, "an event that makes no sense");
        let event: Event = serde_json::from_str(&event.data).map_err(nonsense)?;
        let listens = match event {
            Event::MessageStart { message } => {
                self.usage.update(message.usage);
                true
            }
            Event::ContentBlockStart { index, content_block } => self.begin(index, content_block, sink)?,
            Event::ContentBlockDelta { index, delta } => self.go_on(index, delta, sink)?,
            Event::MessageDelta { delta, usage } => {
                self.usage.update(usage);
                self.stop = delta.stop_reason.as_deref().map(stop).or(self.stop);
                true
            }
            Event::MessageStop => {
                self.over = true;
                false
            }
            Event::Error { error } => return Err(failure::mid_stream(&error)),
            Event::Unknown => true,
        };
        Ok(listens)
    }

    /// Whether its last event has come.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// The whole of it.
    ///
    /// # Errors
    /// It has not come to its end.
    pub(crate) fn completed(self) -> Result<Completion, ProviderError> {
        let cut = http::Error::new(http::ErrorKind::Unexpected, "the answer ended before its end");
        let stop = self.stop.ok_or(cut)?;
        // Of an answer that was cut at its greatest length, the last call may be half a call.
        let whole = |call: &ToolCall| {
            stop != StopReason::Length
                || serde_json::from_str::<BTreeMap<String, IgnoredAny>>(&call.arguments).is_ok()
        };
        let tool_calls = self.tools.into_values().map(ToolCall::from).filter(whole).collect();
        Ok(Completion { text: self.text, tool_calls, stop, usage: self.usage.into() })
    }

    fn begin(&mut self, index: u64, block: Block, sink: &Sink) -> Result<bool, ProviderError> {
        match block {
            Block::Text { text } => self.say(text, sink),
            Block::ToolUse { id, name, input } => {
                self.grow(id.len() + name.len())?;
                let listens = sink.push(Delta::ToolCallStarted((id.clone(), name.clone())));
                self.tools.insert(index, ToolUse { id, name, whole: input, pieces: String::new() });
                Ok(listens)
            }
            Block::Unknown => Ok(true),
        }
    }

    fn go_on(&mut self, index: u64, piece: Piece, sink: &Sink) -> Result<bool, ProviderError> {
        match piece {
            Piece::TextDelta { text } => self.say(text, sink),
            Piece::ThinkingDelta { thinking } => {
                Ok(thinking.is_empty() || sink.push(Delta::Thinking(thinking)))
            }
            Piece::InputJsonDelta { partial_json } => {
                self.grow(partial_json.len())?;
                if let Some(tool) = self.tools.get_mut(&index) {
                    tool.pieces.push_str(&partial_json);
                }
                Ok(true)
            }
            Piece::Unknown => Ok(true),
        }
    }

    fn say(&mut self, text: String, sink: &Sink) -> Result<bool, ProviderError> {
        self.grow(text.len())?;
        self.text.push_str(&text);
        Ok(text.is_empty() || sink.text(text))
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

impl From<ToolUse> for ToolCall {
    fn from(tool: ToolUse) -> Self {
        let arguments = match tool.whole {
            _ if !tool.pieces.is_empty() => tool.pieces,
            serde_json::Value::Null => "{}".to_owned(),
            whole => whole.to_string(),
        };
        Self { id: tool.id, name: tool.name, arguments }
    }
}

impl Tokens {
    fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
    }
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        let cached = tokens.cache_read_input_tokens.unwrap_or(0);
        let kept = tokens.cache_creation_input_tokens.unwrap_or(0);
        let input = tokens.input_tokens.unwrap_or(0).saturating_add(cached).saturating_add(kept);
        Self { input, output: tokens.output_tokens.unwrap_or(0), cached }
    }
}

fn stop(reason: &str) -> StopReason {
    match reason {
        "end_turn" | "stop_sequence" => StopReason::End,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
        "refusal" => StopReason::Refused,
        _ => StopReason::Other,
    }
}
