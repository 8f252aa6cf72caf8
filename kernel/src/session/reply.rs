//! Where a turn's reply goes.

use serde_json::{Value, json};

use crate::error::Error;
use crate::events::Activity;
use crate::store::{NewOutbound, Turn};

/// The reply as an operation for the channel that the message came from; none for a message over the API.
pub(super) fn outbound(turn: &Turn, text: &str) -> Option<NewOutbound> {
    let inbound = turn.inbound.as_ref()?;
    let operation = json!({ "Send": { "markdown": text, "attachments": [] } });
    let (conversation, target) = (inbound.conversation.clone(), inbound.target.clone());
    Some(NewOutbound { conversation, target, operation })
}

/// Says that the agent is at work on a turn, where a channel can show it.
pub(super) fn activity(turn: &Turn) -> Option<Activity> {
    let inbound = turn.inbound.as_ref()?;
    let channel = inbound.conversation.channel.clone();
    Some(Activity { channel, target: quiet(&inbound.target), busy: true })
}

/// What someone on a channel is told when their message was put aside.
pub(super) fn apology(turn: &Turn, error: &Error) -> Option<NewOutbound> {
    outbound(turn, &format!("This message could not be answered: {error}"))
}

/// Being at work is shown in the conversation, not as a reply to one message in it.
fn quiet(target: &Value) -> Value {
    let mut target = target.clone();
    if let Some(reply_to) = target.get_mut("reply_to") {
        *reply_to = Value::Null;
    }
    target
}
