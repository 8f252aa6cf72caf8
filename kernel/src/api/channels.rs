//! Channels and how they stand.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::channel::{ChannelStatus, State};
use crate::clock::rfc3339;
use crate::error::Result;
use crate::http::{Call, Reply};
use crate::kernel::Kernel;

/// A connected channel has the time of its connection and its sessions; any other one what is wrong with it.
#[derive(Serialize)]
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

pub(super) async fn list(kernel: Arc<Kernel>, _: Call) -> Result<Reply> {
    let listed = |channel: ChannelStatus| Listed {
        connected_at: channel.connected_at.map(rfc3339),
        active_sessions: channel.connected_at.map(|_| kernel.store.active_sessions(Some(&channel.name))),
        name: channel.name,
        status: channel.state,
        error: channel.error,
    };
    let channels: Vec<_> = kernel.channels.list().into_iter().map(listed).collect();
    Reply::ok(&json!({"channels": channels}))
}
