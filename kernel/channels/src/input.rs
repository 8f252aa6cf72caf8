//! What reaches a pump from outside.

use std::sync::Arc;

use super::socket::Report;
use super::webhooks::Knock;
use prx_base::events::Activity;
use prx_host::bindings::connector as wire;
use prx_store::TurnId;

/// What wakes a pump.
pub(super) enum Input {
    /// A request was answered, or failed.
    Http(wire::HttpDone),
    /// A socket of this number has something to say.
    Socket(u64, Report),
    /// The platform calls.
    Webhook(Knock),
    /// A timer rang, by the count it was set under.
    Alarm(Alarm, u64),
    /// There is more in the outbox.
    Outbox,
    /// A turn begins in one of this channel's conversations.
    Activity(Arc<Activity>),
}

/// What a timer is for; setting it again replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Alarm {
    /// The connector asked to be woken with this token.
    Connector(u64),
    /// This entry of the outbox may be tried again.
    Outbound(String),
    /// The agent may still be at work on this turn: show what there is to show.
    Turn(TurnId),
    /// The platform should have been heard by now.
    Silence,
    /// New code has served for a while without a failure.
    Proven,
    /// The connector failed a while ago: let it take up what it left.
    Resume,
}
