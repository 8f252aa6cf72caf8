//! Plugins: listed, put in place, swapped, switched off and on.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::error::Result;
use crate::http::{Call, Reply};
use crate::kernel::Kernel;
use crate::plugin::inspect::MAX_BYTES;
use crate::plugin::{PluginStatus, Status};

/// The media type of a component.
const WASM: &str = "application/wasm";

/// A plugin after something was done to it.
#[derive(Serialize)]
struct Changed {
    name: String,
    status: Status,
    version: String,
}

impl From<PluginStatus> for Changed {
    fn from(PluginStatus { name, status, version, .. }: PluginStatus) -> Self {
        Self { name, status, version }
    }
}

pub(super) async fn list(kernel: Arc<Kernel>, _: Call) -> Result<Reply> {
    Reply::ok(&json!({"plugins": kernel.plugins.list()}))
}

pub(super) async fn show(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    Reply::ok(&kernel.plugins.get(call.param("name"))?)
}

/// Under the name in the component's manifest.
pub(super) async fn install(kernel: Arc<Kernel>, mut call: Call) -> Result<Reply> {
    let component = call.body.bytes(WASM, MAX_BYTES as u64).await?;
    Reply::created(&kernel.plugins.install(None, component).await?)
}

/// Under the name in the path, which must be the manifest's.
pub(super) async fn replace(kernel: Arc<Kernel>, mut call: Call) -> Result<Reply> {
    let component = call.body.bytes(WASM, MAX_BYTES as u64).await?;
    let name = call.param("name");
    let is_new = kernel.plugins.get(name).is_err();
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Reply::json(status, &kernel.plugins.install(Some(name), component).await?)
}

pub(super) async fn remove(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    kernel.plugins.remove(call.param("name")).await?;
    Ok(Reply::no_content())
}

pub(super) async fn reload(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    Reply::ok(&Changed::from(kernel.plugins.reload(call.param("name")).await?))
}

pub(super) async fn disable(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let PluginStatus { name, status, .. } = kernel.plugins.disable(call.param("name")).await?;
    Reply::ok(&json!({"name": name, "status": status}))
}

pub(super) async fn enable(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    Reply::ok(&Changed::from(kernel.plugins.enable(call.param("name")).await?))
}

pub(super) async fn rollback(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    Reply::ok(&Changed::from(kernel.plugins.rollback(call.param("name")).await?))
}
