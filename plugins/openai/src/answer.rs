//! What of an answer has come, whichever API it comes from.

use crate::calls::{Calls, Piece};
use crate::failure;
use crate::kept::Kept;
use crate::settings;
use crate::tokens;
use prx_sdk::http;
use prx_sdk::json;
use prx_sdk::parts::Parts;
use prx_sdk::provider::{Completion, Delta, ProviderData, ProviderError, Request, Sink, StopReason, Usage};
use prx_sdk::refusal::Refusal;
use prx_sdk::thinking::{self, Splitter};
use serde_json::Value;

/// Most bytes of an answer, its tool calls included.
const MAX_ANSWER_BYTES: usize = 2 << 20;

/// What ends an answer that a filter of the server's has cut.
const FILTERED: &str = "[The answer was cut off here by the server's content filter.]";

/// An answer in the making.
pub(crate) struct Answer<'a> {
    sink: &'a Sink<'a>,
    splitter: Splitter,
    text: String,
    pub(crate) calls: Calls,
    /// What the server wants to see again, of chat completions.
    pub(crate) kept: Kept,
    /// The same, of responses.
    pub(crate) parts: Parts,
    /// Why the model stopped, once it has.
    pub(crate) stop: Option<StopReason>,
    usage: Option<Usage>,
    length: usize,
    /// The server has said that this was all.
    is_over: bool,
    /// Something has come that belongs to an answer.
    has_begun: bool,
    listens: bool,
    /// What came that is no part of an answer, and may tell why there is none.
    aside: Option<Value>,
}

impl<'a> Answer<'a> {
    /// An answer in this conversation. Its pieces go into the sink.
    pub(crate) fn new(request: &Request, sink: &'a Sink<'a>) -> Self {
        Self {
            sink,
            splitter: Splitter::default(),
            text: String::new(),
            calls: Calls::new(request),
            kept: Kept::default(),
            parts: Parts::default(),
            stop: None,
            usage: None,
            length: 0,
            is_over: false,
            has_begun: false,
            listens: true,
            aside: None,
        }
    }

    /// Whether anybody listens to it yet.
    pub(crate) fn is_wanted(&self) -> bool {
        self.listens
    }

    /// Something has come that belongs to an answer, if only its frame.
    pub(crate) fn begin(&mut self) {
        self.has_begun = true;
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The server has said that this was all.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// What came that is no part of an answer.
    pub(crate) fn set_aside(&mut self, words: Value) {
        if Refusal::of(&words).has_words() {
            self.aside = Some(words);
        }
    }

    /// The next words, in which there may be thoughts.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), ProviderError> {
        self.grow(text.len())?;
        for piece in self.splitter.push(text) {
            self.pass_on(piece);
        }
        Ok(())
    }

    /// Words that may have come already, at the end of what was said or as the beginning of them.
    pub(crate) fn say_whole(&mut self, text: &str) -> Result<(), ProviderError> {
        let said = self.text.trim_start();
        if said.is_empty() {
            return self.say(text);
        }
        let mut splitter = Splitter::default();
        let pieces = splitter.push(text).into_iter().chain(splitter.finish());
        let bare: String = pieces.filter_map(|piece| piece.said()).collect();
        if said.trim_end().ends_with(bare.trim()) {
            return Ok(());
        }
        let rest = bare.trim_start().strip_prefix(said).map_or(bare.clone(), str::to_owned);
        self.say(&rest)
    }

    /// Whether nothing was said and no call has begun.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.calls.is_empty()
    }

    /// The next thoughts.
    pub(crate) fn think(&mut self, text: &str) {
        if !text.is_empty() {
            self.listens &= self.sink.push(Delta::Thinking(text.to_owned()));
        }
    }

    /// The next piece of a call.
    pub(crate) fn call(&mut self, piece: Piece) -> Result<(), ProviderError> {
        let (more, begun) = self.calls.take(piece);
        if let Some(call) = begun {
            self.parts.called();
            self.listens &= self.sink.push(Delta::ToolCallStarted((call.id.clone(), call.name.clone())));
        }
        self.grow(more)
    }

    /// What it cost. A count of nothing, as some servers add at the end, changes nothing.
    pub(crate) fn count(&mut self, input: &Value, output: &Value, cached: &Value) {
        let [input, output, cached] = [input, output, cached].map(|count| json::number(count).unwrap_or(0));
        if input > 0 || output > 0 {
            self.usage = Some(Usage { input, output, cached: cached.min(input) });
        }
    }

    /// The whole of it. `read` estimates what the server read, in case that it doesn't tell.
    ///
    /// # Errors
    /// It has not come to its end.
    pub(crate) fn completed(mut self, read: impl FnOnce() -> u64) -> Result<Completion, ProviderError> {
        if let Some(rest) = self.splitter.finish() {
            self.pass_on(rest);
        }
        let stop = match self.stop {
            Some(stop) => stop,
            None if self.is_over && self.has_begun => StopReason::End,
            None => return Err(self.unfinished()),
        };
        let stop = match stop {
            StopReason::End | StopReason::Other if !self.calls.is_empty() => StopReason::ToolUse,
            StopReason::ToolUse if self.calls.is_empty() => StopReason::End,
            stop => stop,
        };
        if stop == StopReason::Refused && !self.text.trim().is_empty() {
            let note = format!("\n\n{FILTERED}");
            self.sink.text(note.as_str());
            self.text.push_str(&note);
        }
        let is_cut = matches!(stop, StopReason::Length | StopReason::Refused);
        let data = data(self.kept, &self.parts, &self.calls);
        let (text, tool_calls) = (thinking::answer_of(self.text), self.calls.into_calls(is_cut));
        let usage = Usage { input: 0, output: 0, cached: 0 };
        let mut completion = Completion { text, tool_calls, stop, usage, data };
        completion.usage = match self.usage {
            Some(usage) => usage,
            None => Usage { input: read(), output: tokens::of_answer(&completion), cached: 0 },
        };
        Ok(completion)
    }

    /// Why an answer that has no end has none.
    fn unfinished(self) -> ProviderError {
        match self.aside {
            Some(words) => failure::mid_stream(&words),
            None if self.is_over => http::Error::new(
                http::ErrorKind::Unexpected,
                "the server ended the answer without beginning it",
            )
            .into(),
            None => http::Error::new(http::ErrorKind::Unexpected, "the answer ended before its end").into(),
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
        let message = format!(
            "the answer is longer than {MAX_ANSWER_BYTES} bytes; set {}.max_tokens lower",
            settings::table()
        );
        Err(http::Error::new(http::ErrorKind::TooLarge, message).into())
    }
}

/// What the server wants to see again.
fn data(kept: Kept, parts: &Parts, calls: &Calls) -> Option<ProviderData> {
    let message = parts.data().and_then(|data| data.message).or_else(|| kept.into_data());
    let calls = calls.data();
    (message.is_some() || !calls.is_empty()).then_some(ProviderData { message, calls })
}
