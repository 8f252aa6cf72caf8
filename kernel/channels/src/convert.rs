//! Messages and operations, between the shape in which the store keeps them and the one connectors speak.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::blobs::{Blobs, denied};
use prx_egress::{self, Failure};
use prx_host::bindings::connector as wire;
use prx_host::bindings::types;
use prx_store::{Conversation, NewInbound, OutboxEntry};

/// An outbox entry as its connector takes it. What is to be sent takes the place of the message that shows it already,
/// and goes without the files that there are no more.
pub(super) fn outbound(
    blobs: &Blobs,
    entry: OutboxEntry,
    shown: Option<&str>,
) -> Result<wire::Outbound, serde_json::Error> {
    let mut operation = match (serde_json::from_value(entry.operation)?, shown) {
        (wire::Operation::Send(content), Some(message)) => wire::Operation::Edit((message.into(), content)),
        (operation, _) => operation,
    };
    if let wire::Operation::Send(content) | wire::Operation::Edit((_, content)) = &mut operation {
        blobs.leave_out_gone(content);
    }
    Ok(wire::Outbound {
        target: target(&entry.target)?,
        operation,
        id: entry.id,
        attempt: entry.attempt + 1,
        maybe_duplicate: entry.maybe_duplicate,
    })
}

/// What the kernel has a platform do that can't do this. None: nothing is the next best.
pub(super) fn next_best(operation: &Value) -> Option<Value> {
    let Ok(wire::Operation::Ask((content, choices))) = serde_json::from_value(operation.clone()) else {
        return None;
    };
    let choices = choices.iter().zip(1..).map(|(choice, number)| format!("{number}. {}", choice.label));
    let choices = choices.collect::<Vec<_>>().join("\n");
    let content = wire::Content { markdown: format!("{}\n\n{choices}", content.markdown), ..content };
    serde_json::to_value(wire::Operation::Send(content)).ok()
}

/// What an operation is called, and what it says, as it was kept.
pub fn describe(operation: &Value) -> (&'static str, Option<String>) {
    use wire::Operation as O;
    match serde_json::from_value(operation.clone()) {
        Ok(O::Send(content)) => ("send", Some(content.markdown)),
        Ok(O::Edit((_, content))) => ("edit", Some(content.markdown)),
        Ok(O::Draft((_, content))) => ("draft", Some(content.markdown)),
        Ok(O::Ask((content, _))) => ("ask", Some(content.markdown)),
        Ok(O::Delete(_)) => ("delete", None),
        Ok(O::React(_)) => ("react", None),
        Ok(O::Typing) => ("typing", None),
        Err(_) => ("unknown", None),
    }
}

/// Where something is to go, as it was kept.
pub(super) fn target(kept: &Value) -> Result<wire::Target, serde_json::Error> {
    serde_json::from_value(kept.clone())
}

/// A message as the store takes it in.
pub(super) fn received(channel: &str, blobs: &Blobs, inbound: wire::Inbound) -> NewInbound {
    let wire::Target { conversation, thread, .. } = inbound.target.clone();
    let sent_at = i64::try_from(inbound.sent_at).unwrap_or_default();
    NewInbound {
        dedupe: inbound.dedupe,
        conversation: Conversation { channel: channel.into(), conversation, thread },
        user_id: inbound.sender.id,
        user_name: inbound.sender.name,
        text: inbound.text,
        attachments: blobs.attachments(inbound.attachments),
        choice: inbound.choice,
        target: serde_json::to_value(inbound.target).unwrap_or_default(),
        sent_at: Timestamp::from_millisecond(sent_at).unwrap_or(Timestamp::UNIX_EPOCH),
        metadata: json!({}),
    }
}

/// A text in pieces, as it is put together on the way out.
///
/// # Errors
/// One of them is a blob.
pub(super) fn segments(pieces: Vec<types::Segment>) -> Result<Vec<prx_egress::Segment>, Failure> {
    pieces.into_iter().map(segment).collect()
}

/// A piece, as it is put together on the way out.
///
/// # Errors
/// It is a blob.
pub(super) fn segment(piece: types::Segment) -> Result<prx_egress::Segment, Failure> {
    match piece {
        types::Segment::Text(text) => Ok(prx_egress::Segment::Text(text)),
        types::Segment::Bytes(bytes) => Ok(prx_egress::Segment::Bytes(bytes)),
        types::Segment::Secret(name) => Ok(prx_egress::Segment::Secret(name)),
        types::Segment::Blob(_) => Err(denied("a blob can stand in a body or a frame only")),
    }
}

/// How large pieces are, but for the secrets and blobs among them.
pub(super) fn bytes_in(pieces: &[types::Segment]) -> usize {
    let bytes = |piece: &types::Segment| match piece {
        types::Segment::Text(text) => text.len(),
        types::Segment::Bytes(bytes) => bytes.len(),
        types::Segment::Secret(_) | types::Segment::Blob(_) => 0,
    };
    pieces.iter().map(bytes).sum()
}
