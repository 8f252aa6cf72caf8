//! What a conversation costs in tokens, by estimate.

use prx_host::bindings::{common, provider as wire};

/// Tokens that a message costs besides its text.
const MESSAGE_COST: u64 = 4;

/// Tokens that a file costs at least which goes with a message: about a picture of a million pixels.
const MIN_FILE_COST: u64 = 1500;
/// MIME types, beside `text/…`, of files that are shown as the text they are.
const TEXT_TYPES: [&str; 4] = ["application/json", "application/xml", "application/yaml", "application/toml"];

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
pub(super) fn file_cost(file: &common::Attachment) -> u64 {
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
