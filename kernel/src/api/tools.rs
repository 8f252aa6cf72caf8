//! Tools, wherever they come from.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::gateway::Gateway;
use prx_agents::tool::{CallContext, ToolResult, ToolSummary};
use prx_base::error::{Code, Result};
use prx_http::describe::Takes;
use prx_http::parameter::{Object, Parameter};
use prx_http::{Call, Doc, Reply};

#[derive(Serialize, JsonSchema)]
struct Tools {
    tools: Vec<ToolSummary>,
}

pub(super) const LIST: Doc = Doc::new("List tools, wherever they come from").answers::<Tools>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    Reply::ok(&Tools { tools: gateway.tools.list().await })
}

const ARGUMENTS: Parameter<Object> = Parameter::new("arguments", Object, "what the tool takes");

pub(super) const CALL: Doc = Doc::new(
    "Call a tool. One with the policy `ask` is called at once: outside of a turn, whoever calls has decided",
)
.takes(Takes::Object(&[&ARGUMENTS]))
.answers::<ToolResult>(&[200])
.fails(&[Code::BadGateway, Code::GatewayTimeout]);

pub(super) async fn call(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let arguments = call.body.object().await?.get(&ARGUMENTS)?.unwrap_or_default();
    let context = CallContext::default();
    Reply::ok(&gateway.tools.call(call.param("name"), Value::Object(arguments), context).await?)
}
