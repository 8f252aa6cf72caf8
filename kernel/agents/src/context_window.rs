//! The context window: how many tokens of a conversation a model is shown, and what is left out where it has too many.

use prx_host::bindings::{common, provider as wire};

/// Tokens that a message costs besides its text.
const MESSAGE_COST: u64 = 4;

/// Tokens that a file costs at least which goes with a message: about a picture of a million pixels.
const MIN_FILE_COST: u64 = 1500;
/// MIME types, beside `text/…`, of files that are shown as the text they are.
const TEXT_TYPES: [&str; 4] = ["application/json", "application/xml", "application/yaml", "application/toml"];

/// Stands where a tool's result stood.
const LEFT_OUT: &str = "[this result was left out to save room]";

/// What a text costs in tokens: a quarter of its bytes, rounded up. Models differ; for English it is a little too much,
/// for most other scripts about right.
pub(super) fn estimate(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

/// What a message costs in tokens.
pub(super) fn cost(message: &wire::Message) -> u64 {
    MESSAGE_COST
        + match message {
            wire::Message::User(user) => {
                estimate(&user.text) + user.attachments.iter().map(file_cost).sum::<u64>()
            }
            wire::Message::Assistant(assistant) => {
                let calls = assistant.tool_calls.iter();
                let calls =
                    calls.map(|call| estimate(&call.id) + estimate(&call.name) + estimate(&call.arguments));
                estimate(&assistant.text) + calls.sum::<u64>() + assistant.data.as_ref().map_or(0, data_cost)
            }
            wire::Message::ToolResult(result) => estimate(&result.id) + estimate(&result.text),
        }
}

/// What a model's own data costs in tokens, which is not more than its bytes would as text.
fn data_cost(data: &wire::ProviderData) -> u64 {
    let calls = data.calls.iter().map(|(_, data)| estimate(data)).sum::<u64>();
    calls + data.message.as_deref().map_or(0, estimate)
}

/// What a file costs in tokens: a text by its length, like any other.
fn file_cost(file: &common::Attachment) -> u64 {
    let mime = file.mime.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_text = mime.starts_with("text/") || TEXT_TYPES.contains(&mime);
    if is_text { MIN_FILE_COST.max(file.size.div_ceil(4)) } else { MIN_FILE_COST }
}

/// What a tool costs in tokens.
pub(super) fn tool_cost(name: &str, description: &str, parameters: &str) -> u64 {
    MESSAGE_COST + estimate(name) + estimate(description) + estimate(parameters)
}

/// What tools cost in tokens.
pub(super) fn tools_cost(tools: &[wire::ToolSpec]) -> u64 {
    tools.iter().map(|tool| tool_cost(&tool.name, &tool.description, &tool.parameters)).sum()
}

/// What a request costs in tokens.
pub(super) fn request_cost(request: &wire::Request) -> u64 {
    estimate(&request.system) + tools_cost(&request.tools) + request.messages.iter().map(cost).sum::<u64>()
}

/// Bytes of a request, its files included, and of what goes with each part of it: no model reads more tokens in it.
pub(super) fn request_bytes(request: &wire::Request) -> u64 {
    let file = |file: &common::Attachment| file.size.max(4 * MIN_FILE_COST);
    let message = |message: &wire::Message| match message {
        wire::Message::User(user) => user.attachments.iter().map(file).sum::<u64>() + 4 * cost(message),
        _ => 4 * cost(message),
    };
    let tools = 4 * tools_cost(&request.tools);
    request.system.len() as u64 + tools + request.messages.iter().map(message).sum::<u64>()
}

/// Leaves out what there is no room for: first the results of tools in earlier turns, from the oldest on, then whole
/// earlier turns, then results and pictures of tools in this turn. `own` is where this turn begins, with what the person
/// said. Returns the tokens of what is left.
pub(super) fn fit(messages: &mut Vec<wire::Message>, own: usize, max_tokens: u64) -> u64 {
    let mut total: u64 = messages.iter().map(cost).sum();
    let (mut dropped, mut at) = (0, 0);
    while total > max_tokens && at < own {
        total -= drop_result(&mut messages[at]);
        at += 1;
    }
    while total > max_tokens && dropped < own {
        let turn =
            messages[dropped + 1..].iter().position(|message| matches!(message, wire::Message::User(_)));
        let end = turn.map_or(own, |length| dropped + 1 + length);
        total -= messages[dropped..end].iter().map(cost).sum::<u64>();
        dropped = end;
    }
    at = own + 1;
    while total > max_tokens && at < messages.len() {
        total -= drop_result(&mut messages[at]) + drop_files(&mut messages[at]);
        at += 1;
    }
    messages.drain(..dropped);
    total
}

/// Leaves out the result of a tool, and returns the tokens that this saves.
fn drop_result(message: &mut wire::Message) -> u64 {
    let before = cost(message);
    match message {
        wire::Message::ToolResult(result) if result.text.len() > LEFT_OUT.len() => {
            LEFT_OUT.clone_into(&mut result.text);
        }
        _ => {}
    }
    before - cost(message)
}

/// Leaves out the files of a message, and returns the tokens that this saves.
fn drop_files(message: &mut wire::Message) -> u64 {
    match message {
        wire::Message::User(user) => user.attachments.drain(..).map(|given| file_cost(&given)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> wire::Message {
        wire::Message::User(wire::UserMessage { text: text.into(), attachments: Vec::new() })
    }

    fn turn(n: usize) -> [wire::Message; 4] {
        let id = format!("call_{n}");
        let call = wire::ToolCall { id: id.clone(), name: "read".into(), arguments: "{}".into() };
        let assistant = |text: &str, tool_calls| {
            wire::Message::Assistant(wire::AssistantMessage { text: text.into(), tool_calls, data: None })
        };
        let result = wire::ToolResult { id, text: "x".repeat(400), is_error: false };
        [
            user("go"),
            assistant("", vec![call]),
            wire::Message::ToolResult(result),
            assistant("done", Vec::new()),
        ]
    }

    fn conversation() -> Vec<wire::Message> {
        let mut all: Vec<_> = (0..3).flat_map(turn).collect();
        all.push(user("and now?"));
        all
    }

    fn emptied(messages: &[wire::Message]) -> Vec<bool> {
        let results = messages.iter().filter_map(|message| match message {
            wire::Message::ToolResult(result) => Some(result.text == LEFT_OUT),
            _ => None,
        });
        results.collect()
    }

    fn fitted(room: u64) -> Vec<wire::Message> {
        let mut messages = conversation();
        let own = messages.len() - 1;
        let total = fit(&mut messages, own, room);
        assert_eq!(total, messages.iter().map(cost).sum::<u64>());
        messages
    }

    #[test]
    fn the_oldest_results_go_first_then_the_oldest_turns() {
        let whole: u64 = conversation().iter().map(cost).sum();
        assert_eq!(fitted(whole), conversation());
        assert_eq!(emptied(&fitted(whole - 1)), [true, false, false]);
        assert_eq!(emptied(&fitted(whole - 100)), [true, true, false]);
        let tight = fitted(100);
        assert!(matches!(&tight[0], wire::Message::User(first) if first.text == "go"), "{tight:?}");
        assert_eq!(emptied(&tight), [true, true], "a whole turn is gone: {tight:?}");
        assert_eq!(fitted(6), [user("and now?")]);
        assert_eq!(fitted(1), [user("and now?")], "what is to be answered stays");
    }

    #[test]
    fn results_of_the_turn_itself_go_last() {
        let mut messages = conversation();
        messages.extend(turn(3).into_iter().skip(1).take(2));
        fit(&mut messages, 12, 130);
        assert_eq!(emptied(&messages), [false], "{messages:?}");
        let mut messages = turn(0)[..3].to_vec();
        fit(&mut messages, 0, 50);
        assert_eq!(emptied(&messages), [true]);
    }
}
