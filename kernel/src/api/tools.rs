//! Tools, wherever they come from.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::gateway::Kernel;
use prx_agents::tool::{CallContext, ToolResult, ToolSummary};
use prx_base::error::{Code, Result};
use prx_http::describe::{Field, Shape, Takes};
use prx_http::{Call, Doc, Reply};

#[derive(Serialize, JsonSchema)]
struct Tools {
    tools: Vec<ToolSummary>,
}

pub(super) const LIST: Doc = Doc::new("List tools, wherever they come from").answers::<Tools>(&[200]);

pub(super) async fn list(kernel: Arc<Kernel>, _: Call) -> Result<Reply> {
    Reply::ok(&Tools { tools: kernel.tools.list() })
}

pub(super) const CALL: Doc = Doc::new("Call a tool")
    .takes(Takes::Object(&[Field::new("arguments", Shape::Object, "what the tool takes")]))
    .answers::<ToolResult>(&[200])
    .fails(&[Code::BadGateway, Code::GatewayTimeout]);

pub(super) async fn call(kernel: Arc<Kernel>, mut call: Call) -> Result<Reply> {
    let arguments = call.body.object().await?.object("arguments")?.unwrap_or_default();
    let context = CallContext::default();
    Reply::ok(&kernel.tools.call(call.param("name"), &Value::Object(arguments), context).await?)
}
