//! Channels and how they stand.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::channel::{ChannelStatus, State};
use crate::clock::rfc3339;
use crate::error::Result;
use crate::http::{Call, Doc, Reply};
use crate::kernel::Kernel;

/// A connected channel has the time of its connection and its sessions; any other one what is wrong with it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Channel")]
struct Listed {
    name: String,
    status: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_sessions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Channels {
    channels: Vec<Listed>,
}

pub(super) const LIST: Doc = Doc::new("List channels and how they stand").answers::<Channels>(&[200]);

pub(super) async fn list(kernel: Arc<Kernel>, _: Call) -> Result<Reply> {
    let listed = |channel: ChannelStatus| Listed {
        connected_at: channel.connected_at.map(rfc3339),
        active_sessions: channel.connected_at.map(|_| kernel.base.store.active_sessions(Some(&channel.name))),
        name: channel.name,
        status: channel.state,
        error: channel.error,
    };
    Reply::ok(&Channels { channels: kernel.channels.list().into_iter().map(listed).collect() })
}

/// A channel after it was told to connect anew.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RestartedChannel")]
struct Restarted<'a> {
    name: &'a str,
    status: State,
}

pub(super) const RESTART: Doc = Doc::new("Restart a channel").answers::<Restarted>(&[200]);

pub(super) async fn restart(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let name = call.param("name");
    kernel.channels.restart(name)?;
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

pub(super) async fn health(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let channel = kernel.channels.get(call.param("name"))?;
    Reply::ok(&Health {
        healthy: channel.state == State::Connected,
        name: channel.name,
        latency_ms: channel.latency_ms,
        last_message_at: channel.last_message_at.map(rfc3339),
        error: channel.error,
    })
}
