//! Messages and operations, between the shape in which the store keeps them and the one connectors speak.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::blobs::{Blobs, denied};
use prx_base::text::is_language_tag;
use prx_egress::{self, Failure, Kind};
use prx_host::bindings::common;
use prx_host::bindings::connector as wire;
use prx_store::{
    Choice, Content, Conversation, NewInbound, Operation, OutboxEntry, Overheard, Quoted, Sender,
};

/// Most bytes that are kept of a message that another one quotes.
const MAX_QUOTE_BYTES: usize = 8 << 10;
/// Most messages that one may pass on.
const MAX_FORWARDED: usize = 16;
/// Most files that come with a message, those of what it quotes included.
const MAX_FILES: usize = 32;

/// An outbox entry as its connector takes it. What is to be sent takes the place of the message that shows it already,
/// and goes without the files that there are no more.
///
/// # Errors
/// Another version of the gateway has queued it, and this one does not know what it is.
pub(super) fn outbound(
    blobs: &Blobs,
    entry: OutboxEntry,
    shown: Option<&str>,
) -> Result<wire::Outbound, serde_json::Error> {
    let mut operation = match (operation(entry.operation)?, shown) {
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

/// An operation as connectors take it.
fn operation(kept: Operation) -> Result<wire::Operation, serde_json::Error> {
    Ok(match kept {
        Operation::Send(said) => wire::Operation::Send(content(said)),
        Operation::Edit(message, said) => wire::Operation::Edit((message, content(said))),
        Operation::Delete(message) => wire::Operation::Delete(message),
        Operation::Typing => wire::Operation::Typing,
        Operation::Draft(number, said) => wire::Operation::Draft((number, content(said))),
        Operation::React(message, reaction) => wire::Operation::React((message, reaction)),
        Operation::Ask(said, choices) => {
            let choices = choices.into_iter().map(|Choice { id, label }| wire::Choice { id, label });
            wire::Operation::Ask((content(said), choices.collect()))
        }
        Operation::Unknown(kept) => serde_json::from_value(kept)?,
    })
}

fn content(Content { markdown, attachments }: Content) -> wire::Content {
    wire::Content { markdown, attachments: attachments.into_iter().map(Into::into).collect() }
}

/// What the kernel has a platform do that can't do this. None: nothing is the next best.
pub(super) fn next_best(operation: &Operation) -> Option<Operation> {
    let Operation::Ask(content, choices) = operation else { return None };
    let choices = choices.iter().zip(1..).map(|(choice, number)| format!("{number}. {}", choice.label));
    let choices = choices.collect::<Vec<_>>().join("\n");
    Some(Operation::send(format!("{}\n\n{choices}", content.markdown), content.attachments.clone()))
}

/// What an operation is called, and what it says, as it was kept.
pub fn describe(operation: &Operation) -> (&'static str, Option<String>) {
    match operation {
        Operation::Send(content) => ("send", Some(content.markdown.clone())),
        Operation::Edit(_, content) => ("edit", Some(content.markdown.clone())),
        Operation::Draft(_, content) => ("draft", Some(content.markdown.clone())),
        Operation::Ask(content, _) => ("ask", Some(content.markdown.clone())),
        Operation::Delete(_) => ("delete", None),
        Operation::React(..) => ("react", None),
        Operation::Typing => ("typing", None),
        Operation::Unknown(_) => ("unknown", None),
    }
}

/// Where something is to go, as it was kept.
pub(super) fn target(kept: &Value) -> Result<wire::Target, serde_json::Error> {
    serde_json::from_value(kept.clone())
}

/// A message as the store takes it in, meant for the agent.
pub(super) fn received(channel: &str, blobs: &Blobs, inbound: wire::Inbound) -> NewInbound {
    let wire::Target { conversation, thread, .. } = inbound.target.clone();
    let mut files = inbound.attachments;
    let quoting = inbound.reply_to.iter().chain(inbound.forwarded.iter().take(MAX_FORWARDED));
    files.extend(quoting.flat_map(|quoted| quoted.attachments.iter().cloned()));
    files.truncate(MAX_FILES);
    NewInbound {
        dedupe: inbound.dedupe,
        conversation: Conversation { channel: channel.into(), conversation, thread },
        user_id: inbound.sender.id,
        user_name: inbound.sender.name,
        language: inbound.sender.language.filter(|tag| is_language_tag(tag)),
        text: inbound.text,
        command: None,
        attachments: blobs.attachments(files),
        group: inbound.group,
        reply_to: inbound.reply_to.map(quoted),
        forwarded: inbound.forwarded.into_iter().take(MAX_FORWARDED).map(quoted).collect(),
        choice: inbound.choice,
        target: serde_json::to_value(inbound.target).unwrap_or_default(),
        sent_at: moment(inbound.sent_at),
        metadata: json!({}),
        begun_by: None,
    }
}

/// Something that was said and not to the agent, as the store keeps it: for a while from now on, whatever the platform's
/// clock says.
pub(super) fn overheard(channel: &str, said: wire::Overheard, now: Timestamp) -> (Conversation, Overheard) {
    let wire::Target { conversation, thread, .. } = said.target;
    let sender = Sender { id: said.sender.id, name: said.sender.name };
    let text = said.text[..said.text.floor_char_boundary(MAX_QUOTE_BYTES)].to_owned();
    let conversation = Conversation { channel: channel.into(), conversation, thread };
    (conversation, Overheard { sender, text, at: now })
}

fn moment(ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or_default();
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn quoted(quoted: wire::Quoted) -> Quoted {
    let wire::Quoted { author, from_agent, mut text, is_part, attachments } = quoted;
    if text.len() > MAX_QUOTE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_QUOTE_BYTES));
        text.push('…');
    }
    let files = attachments.into_iter().take(MAX_FILES);
    let files = files.map(|file| file.name.unwrap_or_else(|| nameless(file.kind).to_owned())).collect();
    Quoted { author, from_agent, text, is_part, files }
}

/// What a file is called that has no name.
fn nameless(kind: common::AttachmentKind) -> &'static str {
    match kind {
        common::AttachmentKind::Image => "a picture",
        common::AttachmentKind::Audio => "a recording",
        common::AttachmentKind::Video => "a video",
        common::AttachmentKind::Document | common::AttachmentKind::Other => "a file",
    }
}

/// Why a request brought no answer, as connectors are told.
pub(super) fn http_failure(Failure { kind, sent, reason }: Failure) -> wire::HttpFailure {
    use wire::HttpFailureKind as K;
    let kind = match kind {
        Kind::Denied => K::Denied,
        Kind::Dns | Kind::Connect | Kind::Tls => K::Unreachable,
        Kind::Timeout => K::Timeout,
        Kind::TooLarge => K::TooLarge,
        Kind::Protocol | Kind::Closed => K::Broken,
    };
    wire::HttpFailure { kind, sent, reason }
}

/// A text in pieces, as it is put together on the way out.
///
/// # Errors
/// One of them is a blob.
pub(super) fn segments(pieces: Vec<common::Segment>) -> Result<Vec<prx_egress::Segment>, Failure> {
    pieces.into_iter().map(segment).collect()
}

/// A piece, as it is put together on the way out.
///
/// # Errors
/// It is a blob.
pub(super) fn segment(piece: common::Segment) -> Result<prx_egress::Segment, Failure> {
    match piece {
        common::Segment::Text(text) => Ok(prx_egress::Segment::Text(text)),
        common::Segment::Bytes(bytes) => Ok(prx_egress::Segment::Bytes(bytes)),
        common::Segment::Secret(name) => Ok(prx_egress::Segment::Secret(name)),
        common::Segment::Blob(_) => Err(denied("a blob can stand in a body or a frame only")),
    }
}

/// How large pieces are, but for the secrets and blobs among them.
pub(super) fn bytes_in(pieces: &[common::Segment]) -> usize {
    let bytes = |piece: &common::Segment| match piece {
        common::Segment::Text(text) => text.len(),
        common::Segment::Bytes(bytes) => bytes.len(),
        common::Segment::Secret(_) | common::Segment::Blob(_) => 0,
    };
    pieces.iter().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was queued before the store had a shape of its own was written as connectors take it.
    #[test]
    fn the_store_keeps_operations_in_the_form_that_they_had_as_connectors_take_them() {
        let kinds = ["Image", "Audio", "Video", "Document", "Other"];
        let files =
            kinds.map(|kind| json!({"blob": "blob_1", "kind": kind, "name": "a", "mime": null, "size": 7}));
        let content = json!({"markdown": "hi", "attachments": files});
        for written in [
            json!({"Send": content}),
            json!({"Edit": ["7", content]}),
            json!({"Delete": "7"}),
            json!("Typing"),
            json!({"Draft": [3, content]}),
            json!({"React": ["7", "x"]}),
            json!({"Ask": [content, [{"id": "a", "label": "A"}]]}),
        ] {
            let before: wire::Operation = serde_json::from_value(written.clone()).unwrap();
            let kept: Operation = serde_json::from_value(written.clone()).unwrap();
            assert!(!matches!(kept, Operation::Unknown(_)), "{written}");
            assert_eq!(serde_json::to_value(&kept).unwrap(), serde_json::to_value(&before).unwrap());
            assert_eq!(operation(kept).unwrap(), before);
        }
        assert!(operation(Operation::Unknown(json!({"Wave": {}}))).is_err());
    }
}
