//! Channels and how they stand.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::page;
use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::Result;
use prx_channels::{ChannelStatus, State};
use prx_http::parameter::{AnyText, Number, Parameter};
use prx_http::{Call, Doc, Reply};
use prx_store::DeadLetter;

/// A connected channel has the time of its connection and its sessions; any other one what is wrong with it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Channel")]
struct ChannelView {
    name: String,
    status: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_sessions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What the operator can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
    #[serde(flatten)]
    history: History,
}

/// When things happened on a channel.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelHistory")]
struct History {
    /// Since when it has this status.
    since: String,
    last_inbound_at: Option<String>,
    last_outbound_at: Option<String>,
    last_error: Option<String>,
    last_error_at: Option<String>,
    /// When something will be tried that may bring it back.
    next_retry_at: Option<String>,
}

fn history(channel: &ChannelStatus) -> History {
    let error = channel.last.error.clone();
    History {
        since: rfc3339(channel.since),
        last_inbound_at: channel.last.message_at.map(rfc3339),
        last_outbound_at: channel.last.sent_at.map(rfc3339),
        last_error_at: error.as_ref().map(|(_, at)| rfc3339(*at)),
        last_error: error.map(|(error, _)| error),
        next_retry_at: channel.next_retry_at.map(rfc3339),
    }
}

fn advice(channel: &ChannelStatus) -> Option<&'static str> {
    match channel.state {
        State::Connecting | State::Connected => None,
        State::Reconnecting => Some("Nothing needs to be done: it is tried again by itself"),
        State::Disconnected => Some(
            "Mend what `error` says. A changed configuration is taken up at once; otherwise restart the channel",
        ),
        State::Disabled => Some("Enable its plugin"),
    }
}

#[derive(Serialize, JsonSchema)]
struct Channels {
    channels: Vec<ChannelView>,
}

pub(super) const LIST: Doc = Doc::new("List channels and how they stand").answers::<Channels>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let listed = |channel: ChannelStatus| ChannelView {
        history: history(&channel),
        advice: advice(&channel),
        connected_at: channel.connected_at.map(rfc3339),
        active_sessions: channel.connected_at.map(|_| gateway.store.active_sessions(Some(&channel.name))),
        name: channel.name,
        status: channel.state,
        error: channel.error,
    };
    Reply::ok(&Channels { channels: gateway.channels.list().into_iter().map(listed).collect() })
}

/// A channel after it was told to connect anew.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RestartedChannel")]
struct Restarted<'a> {
    name: &'a str,
    status: State,
}

pub(super) const RESTART: Doc = Doc::new("Restart a channel").answers::<Restarted>(&[200]);

pub(super) async fn restart(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let name = call.param("name");
    gateway.channels.restart(name)?;
    Reply::ok(&Restarted { name, status: State::Reconnecting })
}

/// How a channel is, from what its platform answered last.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelHealth")]
struct Health {
    name: String,
    healthy: bool,
    latency_ms: Option<u32>,
    last_message_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) const HEALTH: Doc = Doc::new("Show how a channel is").answers::<Health>(&[200]);

pub(super) async fn health(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let channel = gateway.channels.get(call.param("name"))?;
    Reply::ok(&Health {
        healthy: channel.state == State::Connected,
        name: channel.name,
        latency_ms: channel.latency_ms,
        last_message_at: channel.last.message_at.map(rfc3339),
        error: channel.error,
    })
}

/// Something that a channel was to do on its platform and has given up.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
struct DeadLetterView {
    id: String,
    conversation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<String>,
    /// What was to be done, such as `send`.
    operation: &'static str,
    /// What was to be said, where something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    reason: String,
    attempts: u32,
    /// It may have happened all the same.
    maybe_duplicate: bool,
    failed_at: String,
}

impl From<DeadLetter> for DeadLetterView {
    fn from(DeadLetter { entry, reason, failed_at }: DeadLetter) -> Self {
        let (operation, text) = prx_channels::describe(&entry.operation);
        Self {
            id: entry.id,
            conversation: entry.conversation.conversation,
            thread: entry.conversation.thread,
            operation,
            text,
            reason,
            attempts: entry.attempt,
            maybe_duplicate: entry.maybe_duplicate,
            failed_at: rfc3339(failed_at),
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct DeadLetters {
    dead_letters: Vec<DeadLetterView>,
}

const LIMIT: Parameter<Number> = Parameter::new("limit", page::LIMIT, "most entries to return");
const BEFORE: Parameter<AnyText> =
    Parameter::new("before", AnyText, "only entries before the one with this id");

pub(super) const DEAD_LETTERS: Doc = Doc::new("List what a channel has given up, newest last")
    .query(&[&LIMIT, &BEFORE])
    .answers::<DeadLetters>(&[200]);

pub(super) async fn dead_letters(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let (limit, before) = (call.query.get(&LIMIT)?, call.query.get(&BEFORE)?);
    let channel = gateway.channels.get(call.param("name"))?.name;
    let letters = gateway.store.dead_letters(&channel, limit, before)?;
    Reply::ok(&DeadLetters { dead_letters: letters.into_iter().map(DeadLetterView::from).collect() })
}

/// What was given up, once it is on its way again.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReplayedDeadLetter")]
struct Replayed {
    /// Its id from now on.
    id: String,
    status: &'static str,
}

pub(super) const REPLAY: Doc =
    Doc::new("Try once more what a channel has given up").answers::<Replayed>(&[202]);

pub(super) async fn replay(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let channel = gateway.channels.get(call.param("name"))?.name;
    let entry = gateway.store.replay_dead_letter(&channel, call.param("id")).await?;
    Reply::json(StatusCode::ACCEPTED, &Replayed { id: entry.id, status: "pending" })
}

pub(super) const DISCARD: Doc = Doc::new("Forget something that a channel has given up");

pub(super) async fn discard(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let channel = gateway.channels.get(call.param("name"))?.name;
    gateway.store.remove_dead_letter(&channel, call.param("id")).await?;
    Ok(Reply::no_content())
}
