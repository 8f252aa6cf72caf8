//! An inbound webhook: the request, who waits for the reply, and the replies that are pending.

use std::collections::HashMap;
use std::fmt;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use prx_host::bindings::connector as wire;

/// A request of a platform's.
pub struct Webhook {
    /// In capitals.
    pub method: String,
    /// What follows `/in/{channel}/`; may be empty.
    pub path: String,
    /// What follows the question mark; may be empty.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub body: Vec<u8>,
}

/// What a connector answers.
pub struct WebhookReply {
    /// As the connector says; it need not be a status that there is.
    pub status: u16,
    /// As the connector says.
    pub headers: Vec<(String, String)>,
    /// As the connector says.
    pub body: Vec<u8>,
}

/// A webhook on its way to a pump, and who waits for its reply.
pub(super) struct InboundRequest {
    pub(super) webhook: Webhook,
    pub(super) pending: PendingReply,
}

/// A platform that waits for a reply.
pub(super) struct PendingReply {
    pub(super) reply: oneshot::Sender<WebhookReply>,
    /// Its place among the webhooks that may be pending at a time.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// The webhooks that a pump has handed over and whose replies are pending.
#[derive(Default)]
pub(super) struct PendingReplies {
    replies: HashMap<u64, PendingReply>,
    last_token: u64,
}

impl Webhook {
    /// The first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl PendingReplies {
    /// Takes a webhook in, and returns it as the event for the connector.
    pub(super) fn accept(&mut self, request: InboundRequest) -> wire::Event {
        self.replies.retain(|_, pending| !pending.reply.is_closed());
        self.last_token += 1;
        self.replies.insert(self.last_token, request.pending);
        let Webhook { method, path, query, headers, body } = request.webhook;
        wire::Event::Webhook(wire::Webhook { token: self.last_token, method, path, query, headers, body })
    }

    /// Sends a reply to whoever still waits for it.
    pub(super) fn reply(&mut self, token: u64, reply: wire::WebhookReply) {
        let Some(pending) = self.replies.remove(&token) else { return };
        let wire::WebhookReply { status, headers, body } = reply;
        // After the timeout nobody waits any more.
        let _ = pending.reply.send(WebhookReply { status, headers, body });
    }

    /// Leaves a webhook without a reply.
    pub(super) fn drop_reply(&mut self, token: u64) {
        self.replies.remove(&token);
    }
}

impl fmt::Debug for Webhook {
    /// Shows nothing of what people say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.method, self.body.len())
    }
}

impl fmt::Debug for WebhookReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.status, self.body.len())
    }
}
