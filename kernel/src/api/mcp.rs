//! MCP, both ways: the servers whose tools the gateway calls, and the gateway as a server of all its tools.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

pub(super) use self::door::{SERVE, serve};
use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::Result;
use prx_http::{Call, Doc, Reply};
use prx_mcp::{ServerStatus, State};

mod door;
mod server;

/// A connected server has the time of its connection; any other one what is wrong with it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "McpServer")]
struct ServerView {
    name: String,
    transport: &'static str,
    status: State,
    tools: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Why it has more tools than these.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl From<ServerStatus> for ServerView {
    fn from(server: ServerStatus) -> Self {
        let ServerStatus { name, transport, state, tools, connected_at, error, problem } = server;
        let connected_at = connected_at.map(rfc3339);
        Self { name, transport, status: state, tools, connected_at, error, problem }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "McpServers")]
struct Servers {
    servers: Vec<ServerView>,
}

/// A server after it was told to connect anew.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReconnectedMcpServer")]
struct Reconnected<'a> {
    name: &'a str,
    status: State,
}

pub(super) const LIST: Doc = Doc::new("List MCP servers and how they stand").answers::<Servers>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    Reply::ok(&Servers { servers: gateway.mcp.list().into_iter().map(ServerView::from).collect() })
}

pub(super) const RECONNECT: Doc = Doc::new("Reconnect to an MCP server").answers::<Reconnected>(&[200]);

pub(super) async fn reconnect(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let name = call.param("name");
    gateway.mcp.reconnect(name)?;
    Reply::ok(&Reconnected { name, status: State::Reconnecting })
}
