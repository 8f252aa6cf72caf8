//! The default provider: no key, no network, deterministic. It runs no model and says so.
//!
//! `/tool NAME {json}` calls a tool and answers with its result; anything else is answered with what came in.

#[cfg(test)]
mod tests;

use prx_sdk::provider::{
    Completion, Delta, Fault, Message, Provider, ProviderError, Request, Sink, StopReason, ToolCall,
    ToolSpec, Usage,
};
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// The one model.
const MODEL: &str = "local-1";

/// Answers every conversation by rules alone.
pub struct Local;

impl Provider for Local {
    fn models() -> Vec<String> {
        vec![MODEL.to_owned()]
    }

    fn complete(request: Request, sink: &Sink) -> Result<Completion, ProviderError> {
        if request.model != MODEL {
            let message = format!("local has no model `{}`; it has `{MODEL}`", request.model);
            return Err(Fault::bad_config(message).into());
        }
        let input = tokens_in(&request);
        Ok(match reply(&request) {
            Reply::Say(text) => say(text, input, sink),
            Reply::Call(call) => ask(call, input, sink),
        })
    }
}

prx_sdk::plugin! { provider: Local, manifest: "plugin.toml" }

enum Reply {
    Say(String),
    Call(ToolCall),
}

fn reply(request: &Request) -> Reply {
    match request.messages.last() {
        Some(Message::User(message)) => match command(&message.text) {
            Some(rest) => call(rest, request),
            None => Reply::Say(echo(&message.text, request)),
        },
        Some(Message::ToolResult(_)) => Reply::Say(results(request)),
        Some(Message::Assistant(_)) | None => Reply::Say(format!("{MODEL} has nothing to answer.")),
    }
}

/// What follows `/tool`.
fn command(text: &str) -> Option<&str> {
    let rest = text.trim().strip_prefix("/tool")?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| rest.trim())
}

fn call(rest: &str, request: &Request) -> Reply {
    let (name, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let arguments = if arguments.trim().is_empty() { "{}" } else { arguments.trim() };
    if name.is_empty() {
        return Reply::Say(format!("Write `/tool NAME {{json}}`. {}", names(&request.tools)));
    }
    let Some(tool) = find(name, &request.tools) else {
        return Reply::Say(format!("There is no tool `{name}`. {}", names(&request.tools)));
    };
    if let Err(e) = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(arguments) {
        return Reply::Say(format!("What follows `{name}` must be a JSON object: {e}."));
    }
    let id = format!("call_{}", calls(request).count() + 1);
    Reply::Call(ToolCall { id, name: tool.name.clone(), arguments: arguments.to_owned() })
}

/// The tool of this name, or the one that is written like it in letters that every model takes: `files.read` is shown
/// as `files__read`.
fn find<'a>(name: &str, tools: &'a [ToolSpec]) -> Option<&'a ToolSpec> {
    let plain = name
        .replacen('.', "__", 1)
        .replace(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-'), "_");
    let named = |name: &str| tools.iter().find(|tool| tool.name == name);
    named(name).or_else(|| named(&plain))
}

/// What the tools just called had to say.
fn results(request: &Request) -> String {
    let mut texts = Vec::new();
    for message in request.messages.iter().rev() {
        let Message::ToolResult(result) = message else { break };
        let name = calls(request).find(|call| call.id == result.id).map_or("the tool", |call| &call.name);
        texts.push(if result.is_error {
            format!("`{name}` failed: {}", result.text)
        } else {
            result.text.clone()
        });
    }
    texts.reverse();
    texts.join("\n\n")
}

fn echo(text: &str, request: &Request) -> String {
    let attachments = request.messages.last().map_or(0, |message| match message {
        Message::User(message) => message.attachments.len(),
        _ => 0,
    });
    let mut given = vec![count(request.messages.len(), "message")];
    if !request.system.is_empty() {
        given.push(format!("instructions of {}", count(request.system.chars().count(), "character")));
    }
    if attachments > 0 {
        given.push(count(attachments, "attachment"));
    }
    format!(
        "{MODEL} is a built-in stand-in: it runs no model and repeats what it is given.\n\n\
         You said: {text}\n\n\
         It was given {}. {}",
        given.join(", "),
        names(&request.tools)
    )
}

fn names(tools: &[ToolSpec]) -> String {
    if tools.is_empty() {
        return "There are no tools to call.".to_owned();
    }
    let names: Vec<_> = tools.iter().map(|tool| format!("`{}`", tool.name)).collect();
    format!("`/tool NAME {{json}}` calls one of {}: {}.", count(tools.len(), "tool"), names.join(", "))
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn calls(request: &Request) -> impl Iterator<Item = &ToolCall> {
    request.messages.iter().flat_map(|message| match message {
        Message::Assistant(message) => message.tool_calls.as_slice(),
        _ => &[],
    })
}

/// Streams the text word by word, for as long as somebody listens.
fn say(text: String, input: u64, sink: &Sink) -> Completion {
    let _ = text.split_inclusive(' ').all(|piece| sink.text(piece));
    let usage = Usage { input, output: tokens(&text), cached: 0 };
    Completion { text, tool_calls: Vec::new(), stop: StopReason::End, usage, data: None }
}

fn ask(call: ToolCall, input: u64, sink: &Sink) -> Completion {
    sink.push(Delta::ToolCallStarted((call.id.clone(), call.name.clone())));
    let usage = Usage { input, output: tokens(&call.name) + tokens(&call.arguments), cached: 0 };
    Completion { text: String::new(), tool_calls: vec![call], stop: StopReason::ToolUse, usage, data: None }
}

/// An estimate: a token for every four characters begun, as models count English roughly.
fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(4) as u64
}

fn tokens_in(request: &Request) -> u64 {
    let tools = request.tools.iter().map(|tool| {
        let texts = [&tool.name, &tool.description, &tool.parameters];
        texts.map(|text| tokens(text)).iter().sum::<u64>()
    });
    let messages = request.messages.iter().map(|message| match message {
        Message::User(message) => tokens(&message.text),
        Message::ToolResult(result) => tokens(&result.text),
        Message::Assistant(message) => {
            let calls = message.tool_calls.iter().map(|call| tokens(&call.name) + tokens(&call.arguments));
            tokens(&message.text) + calls.sum::<u64>()
        }
    });
    tokens(&request.system) + tools.sum::<u64>() + messages.sum::<u64>()
}
