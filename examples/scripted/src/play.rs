//! Carries out the steps of one answer.

use prx_sdk::provider::{
    Completion, Delta, Fault, Message, ProviderError, Request, Sink, StopReason, ToolCall, Usage,
};
use prx_sdk::{blobs, kv};
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::Duration;

use crate::script::{Call, Failure, Repeat, Show, Step};

/// An answer in the making.
pub(crate) struct Player<'a> {
    request: &'a Request,
    sink: &'a Sink<'a>,
    /// Where in the script the answer is; part of the keys under which failures are counted.
    place: String,
    /// Whether the gateway still wants the answer.
    heard: bool,
    completion: Completion,
}

impl<'a> Player<'a> {
    pub(crate) fn new(request: &'a Request, sink: &'a Sink<'a>, place: String) -> Self {
        let completion = Completion {
            text: String::new(),
            tool_calls: Vec::new(),
            stop: StopReason::End,
            usage: Usage { input: 0, output: 0, cached: 0 },
            data: None,
        };
        Self { request, sink, place, heard: true, completion }
    }

    /// Carries out the steps, in order.
    pub(crate) fn play(mut self, steps: &[Step]) -> Result<Completion, ProviderError> {
        let mut stop = None;
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Text(text) => self.say(text),
                Step::Thinking(text) => self.push(Delta::Thinking(text.clone())),
                Step::Repeat(repeat) => self.repeat(repeat),
                Step::WaitMs(ms) => self.wait(*ms),
                Step::Call(call) => self.call(call),
                Step::Usage(used) => {
                    self.completion.usage =
                        Usage { input: used.input, output: used.output, cached: used.cached };
                }
                Step::Stop(reason) => stop = Some((*reason).into()),
                Step::Show(Show::Request) => self.say(&given(self.request).to_string()),
                Step::Show(Show::Blob(id)) => self.say(&String::from_utf8_lossy(&blobs::whole(id)?)),
                Step::Fail(failure) => self.fail(failure, number)?,
            }
        }
        let usual = if self.completion.tool_calls.is_empty() { StopReason::End } else { StopReason::ToolUse };
        self.completion.stop = stop.unwrap_or(usual);
        Ok(self.completion)
    }

    fn push(&mut self, delta: Delta) {
        self.heard = self.heard && self.sink.push(delta);
    }

    fn say(&mut self, text: &str) {
        self.completion.text.push_str(text);
        self.push(Delta::Text(text.to_owned()));
    }

    fn repeat(&mut self, repeat: &Repeat) {
        for _ in 0..repeat.times {
            self.wait(repeat.every_ms);
            self.say(&repeat.text);
        }
    }

    /// Waits, unless the answer is not wanted any more.
    fn wait(&self, ms: u64) {
        if self.heard {
            sleep(Duration::from_millis(ms));
        }
    }

    fn call(&mut self, call: &Call) {
        let id = call.id.clone().unwrap_or_else(|| {
            let earlier = self.request.messages.iter().map(|message| match message {
                Message::Assistant(said) => said.tool_calls.len(),
                _ => 0,
            });
            format!("call_{}", earlier.sum::<usize>() + self.completion.tool_calls.len() + 1)
        });
        let arguments = match &call.arguments {
            Value::String(raw) => raw.clone(),
            value => value.to_string(),
        };
        self.push(Delta::ToolCallStarted((id.clone(), call.name.clone())));
        self.completion.tool_calls.push(ToolCall { id, name: call.name.clone(), arguments });
    }

    fn fail(&self, failure: &Failure, step: usize) -> Result<(), ProviderError> {
        if let Some(times) = failure.times {
            let key = format!("{}/{step}", self.place);
            let before = kv::get(&key)?.and_then(|kept| String::from_utf8(kept).ok()?.parse().ok());
            let before: u32 = before.unwrap_or(0);
            if before >= times {
                return Ok(());
            }
            kv::set(&key, (before + 1).to_string().as_bytes())?;
        }
        Err(ProviderError {
            fault: Fault::new(failure.code.into(), &failure.message),
            retryable: failure.retryable,
            retry_after_ms: failure.retry_after_ms,
            too_long: None,
        })
    }
}

/// A request as JSON.
fn given(request: &Request) -> Value {
    let messages = request.messages.iter().map(|message| match message {
        Message::User(user) => {
            let attachments = user.attachments.iter().map(|attachment| {
                json!({
                    "blob": attachment.blob, "kind": format!("{:?}", attachment.kind).to_lowercase(),
                    "name": attachment.name, "mime": attachment.mime, "size": attachment.size,
                })
            });
            json!({"role": "user", "text": user.text, "attachments": attachments.collect::<Vec<_>>()})
        }
        Message::Assistant(said) => {
            let calls = said.tool_calls.iter();
            let calls = calls.map(|c| json!({"id": c.id, "name": c.name, "arguments": c.arguments}));
            json!({"role": "assistant", "text": said.text, "tool_calls": calls.collect::<Vec<_>>()})
        }
        Message::ToolResult(result) => {
            json!({"role": "tool", "id": result.id, "text": result.text, "is_error": result.is_error})
        }
    });
    let tools = request.tools.iter().map(|tool| {
        json!({"name": tool.name, "description": tool.description, "parameters": parsed(&tool.parameters)})
    });
    json!({
        "model": request.model,
        "system": request.system,
        "messages": messages.collect::<Vec<_>>(),
        "tools": tools.collect::<Vec<_>>(),
        "options": parsed(&request.options),
    })
}

/// The value of a JSON text; any other text as a string.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
