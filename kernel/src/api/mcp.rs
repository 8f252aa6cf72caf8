//! MCP, both ways: the servers whose tools the gateway calls, and the gateway as a server of all its tools.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

pub(super) use self::door::{SERVE, serve};
use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::{Code, Result};
use prx_http::describe::Takes;
use prx_http::parameter::{Parameter, Required, Text};
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

/// Where a person logs in to a server.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "McpLogin")]
struct LoginUrl<'a> {
    name: &'a str,
    url: String,
}

const REDIRECT_URI: Parameter<Required<Text>> = Parameter::new(
    "redirect_uri",
    Text,
    "where the browser is sent to with the answer: an https URL, or an http URL of the person's own machine",
)
.required();
const REDIRECT: Parameter<Required<Text>> =
    Parameter::new("redirect", Text, "the whole URL that the browser was sent to").required();

pub(super) const LOGIN: Doc =
    Doc::new("Begin a login to an MCP server: a person opens the URL in a browser within 15 minutes")
        .takes(Takes::Object(&[&REDIRECT_URI]))
        .answers::<LoginUrl>(&[200])
        .fails(&[Code::Conflict]);

pub(super) async fn login(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let redirect_uri = call.body.object().await?.get(&REDIRECT_URI)?;
    let name = call.param("name");
    let url = gateway.mcp.login(name, &redirect_uri).await?;
    // The URL has the login's state in it, which is for one pair of eyes.
    Ok(Reply::ok(&LoginUrl { name, url })?.holding_secret())
}

pub(super) const COMPLETE_LOGIN: Doc = Doc::new("Finish a login to an MCP server, and connect it anew")
    .takes(Takes::Object(&[&REDIRECT]))
    .answers::<Reconnected>(&[200])
    .fails(&[Code::Conflict]);

pub(super) async fn complete_login(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let redirect = call.body.object().await?.get(&REDIRECT)?;
    let name = call.param("name");
    gateway.mcp.complete_login(name, &redirect).await?;
    Reply::ok(&Reconnected { name, status: State::Reconnecting })
}

pub(super) const LOGOUT: Doc = Doc::new("Forget the login to an MCP server");

pub(super) async fn logout(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    gateway.mcp.logout(call.param("name")).await?;
    Ok(Reply::no_content())
}
