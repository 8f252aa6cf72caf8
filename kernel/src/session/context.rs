//! What a provider is shown: who it is, what was said before, and which tools it may call.

use crate::error::Result;
use crate::plugin::Scope;
use crate::plugin::bindings::provider as wire;
use crate::plugin::bindings::types;
use crate::store::{Attachment, AttachmentKind, Message, NewMessage, Role, Store, ToolCall, Turn};
use crate::tool::ToolSummary;

/// Everything earlier in the session, up to and with the message that began this turn.
pub(super) fn history(store: &Store, turn: &Turn, limit: u32) -> Result<Vec<Message>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut messages = store.messages(&turn.session, limit.max(1), Some(&turn.message.id))?.items;
    let whole = messages.iter().position(|message| message.role == Role::User).unwrap_or(messages.len());
    // What is left of a turn whose question fell out of the window makes no sense to a provider.
    messages.drain(..whole);
    if limit == 0 {
        messages.clear();
    }
    messages.push(turn.message.clone());
    for message in &mut messages {
        drop_gone(store, &mut message.attachments)?;
    }
    Ok(messages)
}

/// A stored message as providers take it.
pub(super) fn message(message: NewMessage) -> wire::Message {
    let text = message.content;
    match message.role {
        Role::User => {
            let attachments = message.attachments.into_iter().map(attachment).collect();
            wire::Message::User(wire::UserMessage { text, attachments })
        }
        Role::Assistant => {
            let call = |ToolCall { id, name, arguments }| wire::ToolCall { id, name, arguments };
            let tool_calls = message.tool_calls.into_iter().map(call).collect();
            wire::Message::Assistant(wire::AssistantMessage { text, tool_calls })
        }
        Role::Tool => {
            let id = message.tool_call_id.unwrap_or_default();
            wire::Message::ToolResult(wire::ToolResult { id, text, is_error: message.is_error })
        }
    }
}

/// What the calls of a turn may see: what came with the message that began it.
pub(super) fn scope(turn: &Turn) -> Scope {
    Scope { attachments: turn.message.attachments.iter().cloned().map(attachment).collect() }
}

/// Leaves out the files that are kept no longer: a session outlives them.
fn drop_gone(store: &Store, attachments: &mut Vec<Attachment>) -> Result<()> {
    let mut kept = Vec::with_capacity(attachments.len());
    for attachment in attachments.drain(..) {
        if store.blob(&attachment.blob)?.is_some() {
            kept.push(attachment);
        }
    }
    *attachments = kept;
    Ok(())
}

fn attachment(kept: Attachment) -> types::Attachment {
    let kind = match kept.kind {
        AttachmentKind::Image => types::AttachmentKind::Image,
        AttachmentKind::Audio => types::AttachmentKind::Audio,
        AttachmentKind::Video => types::AttachmentKind::Video,
        AttachmentKind::Document => types::AttachmentKind::Document,
        AttachmentKind::Other => types::AttachmentKind::Other,
    };
    let Attachment { blob, name, mime, size, .. } = kept;
    types::Attachment { blob, kind, name, mime, size }
}

/// A tool as providers are told of it.
pub(super) fn spec(tool: ToolSummary) -> wire::ToolSpec {
    let ToolSummary { name, description, parameters, .. } = tool;
    wire::ToolSpec { name, description, parameters: parameters.to_string() }
}
