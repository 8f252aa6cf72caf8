//! What wakes a pump.

use std::sync::Arc;

use super::socket_event::SocketEvent;
use super::webhook::InboundRequest;
use prx_base::events::Activity;
use prx_host::bindings::connector as wire;
use prx_store::TurnId;

/// What reaches a pump from outside.
pub(super) enum Input {
    /// A request was answered, or failed.
    Http(wire::HttpDone),
    /// Something happened on the socket of this number.
    Socket(u64, SocketEvent),
    /// The platform posted a webhook.
    Webhook(InboundRequest),
    /// A timer fired, by the count it was set under.
    Timer(TimerKey, u64),
    /// There is more in the outbox.
    Outbox,
    /// A turn begins in one of this channel's conversations.
    Activity(Arc<Activity>),
}

/// What a timer is for. Setting a timer again replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum TimerKey {
    /// The connector asked to be woken with this token.
    Connector(u64),
    /// The backoff of this entry of the outbox is over: it may be retried.
    OutboundRetry(String),
    /// The live reply of this turn may be due for an update.
    LiveReply(TurnId),
    /// The timeout for hearing from the platform.
    Watchdog,
    /// New code has served for a while without a failure.
    ProbationEnd,
    /// The backoff after a failure of the connector is over: let it take up what it left.
    FailureBackoff,
}
