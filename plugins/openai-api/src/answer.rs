//! A chat completion, whole or as it comes.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Refusal;
use crate::request::Wanted;
use prx_sdk::route::{Fault, Request, Response};
use prx_sdk::turns::{self, Finished, Piece, StopReason, ToolCall, Turn};
use serde_json::{Value, json};

/// The name of the session, in the answer's headers.
const SESSION: &str = "x-session-id";

/// What every piece of an answer says of it.
struct About {
    id: String,
    created: u64,
    model: String,
}

pub(crate) fn complete(mut request: Request) -> Result<Response, Refusal> {
    let wanted = Wanted::read(&mut request)?;
    let id = request.header("x-request-id").unwrap_or("req_0");
    let about = About {
        id: format!("chatcmpl-{}", id.trim_start_matches("req_")),
        created: now(),
        model: wanted.model.clone(),
    };
    let turn = turns::start_with(&wanted.opening, &wanted.input, &wanted.tools, &wanted.options)?;
    match wanted.streams {
        true => stream(about, turn, wanted.streams_usage),
        false => whole(&about, turn),
    }
}

/// In Unix seconds.
#[expect(clippy::disallowed_methods, reason = "the clock of a plugin is the one that the gateway gives it")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn whole(about: &About, mut turn: Turn) -> Result<Response, Refusal> {
    while let Some(piece) = turn.next() {
        match piece {
            Piece::Done(finished) => {
                let answer = about.completion(&finished);
                return Ok(Response::json(&answer).with(SESSION, finished.session));
            }
            Piece::Failed(fault) => return Err(fault.into()),
            _ => {}
        }
    }
    Err(Fault::internal("the turn has no end").into())
}

/// What goes wrong before there is anything of an answer has a status of its own.
fn stream(about: About, mut turn: Turn, with_usage: bool) -> Result<Response, Refusal> {
    let first = match turn.next() {
        Some(Piece::Failed(fault)) => return Err(fault.into()),
        first => first,
    };
    Ok(Response::stream("text/event-stream", move |out| {
        let mut events = Events { out, about, has_said: false };
        events.chunk(json!({"role": "assistant", "content": ""}), None)?;
        let mut next = first;
        while let Some(piece) = next {
            match piece {
                Piece::Text(text) => events.say(&text)?,
                Piece::Thinking(text) => events.chunk(json!({"reasoning_content": text}), None)?,
                // What was shown can't be taken back.
                Piece::Restart(_) if events.has_said => events.say("\n\n")?,
                Piece::Waiting => events.write(": the turn goes on\n\n")?,
                Piece::Done(finished) => return events.end(&finished, with_usage),
                Piece::Failed(fault) => return events.fail(fault.into()),
                Piece::Restart(_) | Piece::ToolCall(_) | Piece::ToolResult(_) | Piece::Approval(_) => {}
            }
            next = turn.next();
        }
        events.fail(Fault::internal("the turn has no end").into())
    }))
}

/// The events of an answer.
struct Events<'a> {
    out: &'a mut dyn Write,
    about: About,
    has_said: bool,
}

impl Events<'_> {
    fn say(&mut self, text: &str) -> Result<(), Fault> {
        self.has_said = true;
        self.chunk(json!({"content": text}), None)
    }

    fn end(mut self, finished: &Finished, with_usage: bool) -> Result<(), Fault> {
        if !self.has_said && !finished.text.is_empty() {
            self.say(&finished.text)?;
        }
        for (n, call) in finished.calls.iter().enumerate() {
            let mut call = shown(call);
            call["index"] = n.into();
            self.chunk(json!({"tool_calls": [call]}), None)?;
        }
        self.chunk(json!({}), Some(reason(finished.stop)))?;
        if with_usage {
            let mut chunk = self.about.chunk(&json!([]));
            chunk["usage"] = usage(finished);
            self.write(&format!("data: {chunk}\n\n"))?;
        }
        self.write("data: [DONE]\n\n")
    }

    fn fail(mut self, refusal: Refusal) -> Result<(), Fault> {
        self.write(&format!("data: {}\n\n", refusal.json()))
    }

    fn chunk(&mut self, delta: Value, finish_reason: Option<&str>) -> Result<(), Fault> {
        let choice = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]);
        let chunk = self.about.chunk(&choice);
        self.write(&format!("data: {chunk}\n\n"))
    }

    fn write(&mut self, text: &str) -> Result<(), Fault> {
        self.out.write_all(text.as_bytes()).map_err(|error| Fault::unavailable(error.to_string()))
    }
}

impl About {
    fn completion(&self, finished: &Finished) -> Value {
        let calls: Vec<Value> = finished.calls.iter().map(shown).collect();
        let says_nothing = finished.text.is_empty() && !calls.is_empty();
        let content = if says_nothing { Value::Null } else { finished.text.as_str().into() };
        let mut message = json!({"role": "assistant", "content": content, "refusal": null});
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": message,
                "logprobs": null,
                "finish_reason": reason(finished.stop),
            }],
            "usage": usage(finished),
        })
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }
}

fn shown(call: &ToolCall) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    })
}

fn usage(finished: &Finished) -> Value {
    let (input, output) = (finished.input_tokens, finished.output_tokens);
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

fn reason(stop: StopReason) -> &'static str {
    match stop {
        StopReason::ToolUse => "tool_calls",
        StopReason::Length => "length",
        StopReason::Refused => "content_filter",
        StopReason::End | StopReason::Other => "stop",
    }
}
