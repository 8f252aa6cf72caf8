//! An estimate of usage, for servers that don't tell.

use prx_sdk::provider::{Completion, Message, Request};

/// A token for every four characters begun, as models count English roughly.
fn tokens(text: &str) -> u64 {
    text.chars().count().div_ceil(4) as u64
}

/// What a server reads.
pub(crate) fn of_request(request: &Request) -> u64 {
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

/// What it wrote.
pub(crate) fn of_answer(completion: &Completion) -> u64 {
    let calls = completion.tool_calls.iter().map(|call| tokens(&call.name) + tokens(&call.arguments));
    tokens(&completion.text) + calls.sum::<u64>()
}
