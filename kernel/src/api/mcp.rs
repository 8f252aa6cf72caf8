//! MCP, both ways: the servers whose tools the gateway calls, and the gateway as a server of all its tools.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::{Method, Request};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation,
    ListToolsResult, PaginatedRequestParams, ResourceContents, ServerCapabilities, ServerConfig, Tool,
    ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use url::form_urlencoded;

use crate::gateway::Gateway;
use prx_agents::tool::{CallContext, ToolSummary, Tools};
use prx_base::clock::rfc3339;
use prx_base::config::Policy;
use prx_base::error::{Code, Result};
use prx_http::describe::Takes;
use prx_http::parameter::{Parameter, Required, Text};
use prx_http::{Call, Caller, Doc, OCTETS, Reply, Scope};
use prx_mcp::{ServerStatus, State};
use prx_store::{Attachment, AttachmentKind, Store};

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

pub(super) const SERVE: Doc = Doc::new(
    "Speak MCP with the gateway: JSON-RPC over streamable HTTP. `tools/list` needs tools:read or tools:write, `tools/call` \
     tools:write. A tool with the policy `ask` is called at once: outside of a turn, whoever calls has decided",
)
    .takes(Takes::AnyObject)
    .answers::<Value>(&[200, 202, 406, 422])
    .or_as("text/event-stream");

/// One message to the gateway as a server. There are no sessions: every message is answered for itself.
pub(super) async fn serve(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let limit = gateway.base.config.current().gateway.max_body_bytes;
    let mut request = Request::new(Full::new(call.body.bytes("application/json", limit).await?));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = call.headers;
    // Host and Origin have been looked at before.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts();
    let server = Server { caller: call.caller, tools: gateway.tools.clone(), store: gateway.store.clone() };
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Ok(Reply::foreign(service.handle(request).await).in_envelope().await)
}

/// The gateway, as MCP clients see it.
#[derive(Clone)]
struct Server {
    caller: Caller,
    tools: Tools,
    store: Store,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let name = Implementation::new("prx", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build()).with_server_info(name)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let callable = |tool: &ToolSummary| tool.policy != Policy::Deny && tool.problem.is_none();
        let tools = self.tools.list().await.into_iter().filter(callable).map(tool);
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let forbidden = |error: prx_base::error::Error| ErrorData::invalid_request(error.to_string(), None);
        self.caller.require(Scope::TOOLS_WRITE).map_err(forbidden)?;
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let called = self.tools.call(&request.name, &arguments, CallContext::default()).await;
        let result = called.map_err(|error| match error.code() {
            Code::NotFound | Code::BadRequest | Code::Forbidden => {
                ErrorData::invalid_params(error.to_string(), None)
            }
            _ => ErrorData::internal_error(error.to_string(), None),
        })?;
        let mut content = vec![ContentBlock::text(result.content)];
        for file in result.attachments {
            content.push(self.content(file).await);
        }
        let mut answer =
            if result.is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
        answer.structured_content = result.structured;
        Ok(CallToolResponse::Complete(answer))
    }
}

impl Server {
    /// A tool's file, with its bytes.
    async fn content(&self, file: Attachment) -> ContentBlock {
        let Attachment { blob, kind, name, mime, .. } = file;
        let name = name.as_deref().unwrap_or(&blob);
        let Ok(bytes) = self.store.read_blob(&blob, 0, u32::MAX).await else {
            return ContentBlock::text(format!("[{name}: it is no longer kept]"));
        };
        let (data, mime) = (STANDARD.encode(bytes), mime.unwrap_or_else(|| OCTETS.to_owned()));
        match kind {
            AttachmentKind::Image => ContentBlock::image(data, mime),
            AttachmentKind::Audio => ContentBlock::audio(data, mime),
            _ => {
                let name = form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>();
                let uri = format!("prx://blobs/{blob}/{}", name.replace('+', "%20"));
                let resource = ResourceContents::blob(data, uri);
                ContentBlock::resource(resource.with_mime_type(mime))
            }
        }
    }
}

fn tool(summary: ToolSummary) -> Tool {
    let ToolSummary { name, description, parameters, read_only, .. } = summary;
    let schema = parameters.as_object().cloned().unwrap_or_default();
    Tool::new(name, description, schema).with_annotations(ToolAnnotations::new().read_only(read_only))
}
