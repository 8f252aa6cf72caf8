//! Messages and operations, between the shape in which the store keeps them and the one connectors speak.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::blobs::Blobs;
use crate::plugin::bindings::connector as wire;
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
