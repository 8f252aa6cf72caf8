//! Messages and operations, between the shape in which the store keeps them and the one connectors speak.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::blobs::{Blobs, denied};
use crate::egress::{self, Failure};
use crate::plugin::bindings::connector as wire;
use crate::plugin::bindings::types;
use crate::store::{Conversation, NewInbound, OutboxEntry};

/// An outbox entry as its connector takes it.
pub(super) fn outbound(entry: OutboxEntry) -> Result<wire::Outbound, serde_json::Error> {
    Ok(wire::Outbound {
        target: target(&entry.target)?,
        operation: serde_json::from_value(entry.operation)?,
        id: entry.id,
        attempt: entry.attempt + 1,
        maybe_duplicate: entry.maybe_duplicate,
    })
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
pub(super) fn segments(pieces: Vec<types::Segment>) -> Result<Vec<egress::Segment>, Failure> {
    pieces.into_iter().map(segment).collect()
}

/// A piece, as it is put together on the way out.
///
/// # Errors
/// It is a blob.
pub(super) fn segment(piece: types::Segment) -> Result<egress::Segment, Failure> {
    match piece {
        types::Segment::Text(text) => Ok(egress::Segment::Text(text)),
        types::Segment::Bytes(bytes) => Ok(egress::Segment::Bytes(bytes)),
        types::Segment::Secret(name) => Ok(egress::Segment::Secret(name)),
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
