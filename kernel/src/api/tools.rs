//! Tools, wherever they come from.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::error::Result;
use crate::http::{Call, Reply};
use crate::kernel::Kernel;
use crate::tool::CallContext;

pub(super) async fn list(kernel: Arc<Kernel>, _: Call) -> Result<Reply> {
    Reply::ok(&json!({"tools": kernel.tools.list()}))
}

pub(super) async fn call(kernel: Arc<Kernel>, mut call: Call) -> Result<Reply> {
    let arguments = call.body.object().await?.object("arguments")?.unwrap_or_default();
    let context = CallContext::default();
    Reply::ok(&kernel.tools.call(call.param("name"), &Value::Object(arguments), context).await?)
}
