//! Plugins: put in place, replaced and removed, from a component that is sent or that is fetched.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::plugins::{Report, await_channels, unless_hung_up};
use crate::gateway::Gateway;
use prx_base::error::{Code, Error, Result};
use prx_host::inspect::MAX_BYTES;
use prx_host::{Delivery, PluginStatus, Preview, Purged, UPLOAD};
use prx_http::describe::Takes;
use prx_http::parameter::{Flag, Name, Parameter, Required, Text};
use prx_http::{Call, Caller, Doc, Reply, Scope};

/// The media type of a component.
const WASM: &str = "application/wasm";

const DOWNGRADE: Parameter<Flag> =
    Parameter::new("downgrade", Flag, "whether the version may be lower than the one that is installed");
const INHERIT: Parameter<Flag> =
    Parameter::new("inherit", Flag, "whether it is to have what a removed plugin of its name has left");
const DRY_RUN: Parameter<Flag> =
    Parameter::new("dry_run", Flag, "whether only to say what would be installed, beside what is");
const PURGE: Parameter<Flag> = Parameter::new(
    "purge",
    Flag,
    "whether to erase what it has kept, its grants and its settings; takes admin",
);

const URL: Parameter<Required<Text>> =
    Parameter::new("url", Text, "where the gateway fetches the component, by https").required();
const SHA256: Parameter<Required<Name>> =
    Parameter::new("sha256", Name, "its SHA-256, in hexadecimal digits").required();

/// A plugin after it was put in another one's place.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReplacedPlugin")]
struct Replaced {
    #[serde(flatten)]
    plugin: PluginStatus,
    #[serde(flatten)]
    report: Report,
}

/// What was erased of a plugin.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PurgedPlugin")]
struct PurgedView {
    name: String,
    /// Whether it was installed.
    removed: bool,
    erased: Purged,
}

/// The component in a request, or the one that it names, and how it came.
async fn component(gateway: &Gateway, call: &mut Call) -> Result<(Bytes, Delivery)> {
    let by = match &call.caller {
        Caller::Owner => Some("owner".to_owned()),
        Caller::Token { id, .. } => Some(id.clone()),
        Caller::Anyone => None,
    };
    let (downgrade, inherit) = (call.query.get(&DOWNGRADE)?, call.query.get(&INHERIT)?);
    let delivery = |source| Delivery { source, by, downgrade, inherit };
    if !call.body.is_json() {
        let bytes = call.body.bytes(WASM, MAX_BYTES as u64).await?;
        return Ok((bytes, delivery(UPLOAD.to_owned())));
    }
    let mut fields = call.body.object().await?;
    let (url, sha256) = (fields.get(&URL)?, fields.get(&SHA256)?);
    let bytes = unless_hung_up(&call.hung_up, gateway.plugins.fetch(&url, &sha256)).await?;
    // What stands behind the path may be a key.
    let place = url.split(['?', '#']).next().unwrap_or_default().to_owned();
    Ok((bytes, delivery(place)))
}

pub(super) const INSTALL: Doc =
    Doc::new("Install a plugin from its component, which is sent, or fetched from a URL; a dry run answers with a preview")
        .takes(Takes::FileOr(WASM, &[&URL, &SHA256]))
        .query(&[&INHERIT, &DRY_RUN])
        .answers::<PluginStatus>(&[201])
        .fails(&[Code::Conflict]);

/// Under the name in the component's manifest.
pub(super) async fn install(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let (component, delivery) = component(&gateway, &mut call).await?;
    if call.query.get(&DRY_RUN)? {
        return preview(&gateway, &call, component, delivery).await;
    }
    let placed = unless_hung_up(&call.hung_up, gateway.plugins.install(None, component, delivery)).await?;
    let plugin = gateway.plugins.get(&placed.name)?;
    let version = json!({ "version": plugin.version });
    Ok(Reply::created(&plugin)?.noting(placed.name, version))
}

async fn preview(gateway: &Gateway, call: &Call, component: Bytes, delivery: Delivery) -> Result<Reply> {
    let look: Preview = unless_hung_up(&call.hung_up, gateway.plugins.preview(component, delivery)).await?;
    Ok(Reply::ok(&look)?.changing_nothing())
}

pub(super) const REPLACE: Doc = Doc::new("Install or replace the plugin of this name")
    .takes(Takes::FileOr(WASM, &[&URL, &SHA256]))
    .query(&[&DOWNGRADE, &INHERIT, &DRY_RUN])
    .answers::<Replaced>(&[200, 201])
    .fails(&[Code::Conflict]);

/// Under the name in the path, which must be the manifest's.
pub(super) async fn replace(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let (component, delivery) = component(&gateway, &mut call).await?;
    if call.query.get(&DRY_RUN)? {
        return preview(&gateway, &call, component, delivery).await;
    }
    let name = call.param("name");
    let is_new = gateway.plugins.get(name).is_err();
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let placed =
        unless_hung_up(&call.hung_up, gateway.plugins.install(Some(name), component, delivery)).await?;
    let (plugin, report) = await_channels(&gateway, placed).await?;
    let version = json!({ "version": plugin.version });
    Ok(Reply::json(status, &Replaced { plugin, report })?.noting(name, version))
}

pub(super) const REMOVE: Doc =
    Doc::new("Remove a plugin; with `purge`, also what is kept of it, and of one removed before")
        .query(&[&PURGE])
        .answers::<PurgedView>(&[204, 200])
        .fails(&[Code::Conflict]);

pub(super) async fn remove(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let name = call.param("name");
    if !call.query.get(&PURGE)? {
        gateway.plugins.remove(name).await?;
        return Ok(Reply::no_content());
    }
    call.caller.require(Scope::ADMIN)?;
    let removed = match gateway.plugins.remove(name).await {
        Ok(_) => true,
        Err(error) if error.code() == Code::NotFound => false,
        Err(error) => return Err(error),
    };
    let config = forget_settings(&gateway, name, &call.caller).await?;
    let erased = Purged { config, ..gateway.plugins.purge(name).await? };
    if !removed && erased == Purged::default() {
        return Err(Error::not_found("Plugin", name));
    }
    let note = json!({ "purged": true });
    Ok(Reply::ok(&PurgedView { name: name.to_owned(), removed, erased })?.noting(name, note))
}

/// Takes a plugin's own tables out of the configuration, and says which there were.
async fn forget_settings(gateway: &Gateway, name: &str, caller: &Caller) -> Result<Vec<String>> {
    let tables = gateway.base.config.current().components.tables_of(name);
    if !tables.is_empty() {
        let changes: Map<String, Value> = tables.iter().map(|table| (table.clone(), Value::Null)).collect();
        gateway.settings.patch(&changes, None, caller).await?;
    }
    Ok(tables)
}
