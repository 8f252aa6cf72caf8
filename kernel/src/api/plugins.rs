//! Plugins: listed, put in place, swapped, switched off and on.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;
use prx_base::error::{Code, Error, Result};
use prx_channels::Swap;
use prx_host::{Placed, PluginStatus, Provenance, Status};
use prx_http::parameter::{Number, Parameter};
use prx_http::{Call, Doc, Reply};

/// A plugin in a list. One that failed, or whose last reload was refused, says why.
#[derive(Serialize, JsonSchema)]
struct PluginSummary {
    name: String,
    version: String,
    status: Status,
    capabilities: Vec<String>,
    memory_usage_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<PluginStatus> for PluginSummary {
    fn from(plugin: PluginStatus) -> Self {
        let PluginStatus { name, version, status, capabilities, memory_usage_bytes, error, .. } = plugin;
        Self { name, version, status, capabilities, memory_usage_bytes, error }
    }
}

/// A plugin after something was done to it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChangedPlugin")]
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

/// What came of code that was put in a plugin's place.
#[derive(Serialize, JsonSchema)]
pub(super) struct Report {
    /// The generation that was there before.
    from: Option<u64>,
    /// The generation that was put in its place.
    to: u64,
    rolled_back: bool,
    compile_ms: u64,
    /// What there is to know of its version, such as that it has served in other bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(flatten)]
    swap: Option<Swapped>,
}

/// How the plugin's channels took it: the longest pause between two events, and sums.
#[derive(Serialize, JsonSchema)]
struct Swapped {
    pause_ms: f64,
    events_buffered: usize,
    connections_kept: usize,
}

impl Report {
    fn new(placed: &Placed, swap: Option<&Swap>) -> Self {
        Self {
            from: placed.from,
            to: placed.to,
            rolled_back: swap.is_some_and(|swap| swap.rolled_back.is_some()),
            compile_ms: placed.compile_ms,
            note: placed.note.clone(),
            swap: swap.map(|swap| Swapped {
                pause_ms: swap.pause.as_micros() as f64 / 1000.0,
                events_buffered: swap.events_buffered,
                connections_kept: swap.connections_kept,
            }),
        }
    }
}

/// A plugin after it got other code.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReloadedPlugin")]
struct Reloaded {
    #[serde(flatten)]
    plugin: Changed,
    /// The generation that serves.
    generation: u64,
    #[serde(flatten)]
    report: Report,
}

/// Waits until the plugin's channels have await_channels its new code.
///
/// # Errors
/// `conflict` with the report when they went back to the code before, which serves again.
pub(super) async fn await_channels(gateway: &Gateway, placed: Placed) -> Result<(PluginStatus, Report)> {
    let swap = gateway.channels.wait_for_swap(&placed).await;
    let report = Report::new(&placed, swap.as_ref());
    let plugin = gateway.plugins.get(&placed.name)?;
    let Some(reason) = swap.and_then(|swap| swap.rolled_back) else { return Ok((plugin, report)) };
    let message = format!("Plugin {}: its new code was taken back: {reason}", placed.name);
    let details = serde_json::to_value(&report).map_err(Error::internal)?;
    Err(Error::conflict(message).with_details(details))
}

/// What comes of `work`, which ends when the client hangs up as long as it has changed nothing.
pub(super) async fn unless_hung_up<R>(
    hung_up: &CancellationToken,
    work: impl Future<Output = Result<R>>,
) -> Result<R> {
    let done = hung_up.run_until_cancelled(work).await;
    done.unwrap_or_else(|| {
        Err(Error::new(Code::Unavailable, "The client hung up before the plugin was compiled"))
    })
}

async fn reload_reply(gateway: &Gateway, placed: Placed) -> Result<Reply> {
    let (plugin, report) = await_channels(gateway, placed).await?;
    Reply::ok(&Reloaded { generation: plugin.generation, plugin: plugin.into(), report })
}

/// A plugin after it was switched off.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DisabledPlugin")]
struct Disabled {
    name: String,
    status: Status,
}

#[derive(Serialize, JsonSchema)]
struct Plugins {
    plugins: Vec<PluginSummary>,
}

pub(super) const LIST: Doc = Doc::new("List plugins and how they stand").answers::<Plugins>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    Reply::ok(&Plugins { plugins: gateway.plugins.list().into_iter().map(PluginSummary::from).collect() })
}

/// A plugin, and where its code came from.
#[derive(Serialize, JsonSchema)]
struct PluginDetail {
    #[serde(flatten)]
    plugin: PluginStatus,
    #[serde(flatten)]
    provenance: Provenance,
}

pub(super) const SHOW: Doc = Doc::new("Show a plugin").answers::<PluginDetail>(&[200]);

pub(super) async fn show(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let name = call.param("name");
    let plugin = gateway.plugins.get(name)?;
    Reply::ok(&PluginDetail { plugin, provenance: gateway.plugins.provenance(name).await? })
}

/// Whether a plugin's files are what was installed.
#[derive(Serialize, JsonSchema)]
struct Verified {
    name: String,
    /// Nothing differs.
    ok: bool,
    /// What differs, a sentence each.
    problems: Vec<String>,
}

pub(super) const VERIFY: Doc = Doc::new("Compare a plugin's files with what was installed")
    .answers::<Verified>(&[200])
    .fails(&[Code::Conflict]);

pub(super) async fn verify(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let name = call.param("name");
    let problems = gateway.plugins.verify(name).await?;
    Reply::ok(&Verified { name: name.to_owned(), ok: problems.is_empty(), problems })
}

pub(super) const RELOAD: Doc = Doc::new("Reload a plugin").answers::<Reloaded>(&[200]);

pub(super) async fn reload(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let placed = unless_hung_up(&call.hung_up, gateway.plugins.reload(call.param("name"))).await?;
    reload_reply(&gateway, placed).await
}

pub(super) const DISABLE: Doc = Doc::new("Switch a plugin off").answers::<Disabled>(&[200]);

pub(super) async fn disable(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let PluginStatus { name, status, .. } = gateway.plugins.disable(call.param("name")).await?;
    Reply::ok(&Disabled { name, status })
}

pub(super) const ENABLE: Doc = Doc::new("Switch a plugin on again").answers::<Changed>(&[200]);

pub(super) async fn enable(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let enabled = unless_hung_up(&call.hung_up, gateway.plugins.enable(call.param("name"))).await?;
    Reply::ok(&Changed::from(enabled))
}

const BACK: Parameter<Number> = Parameter::new(
    "n",
    Number { min: 1, max: 100, default: 1 },
    "how many components to go back, as `earlier` lists them",
);

pub(super) const ROLLBACK: Doc =
    Doc::new("Go back to an earlier component of a plugin").query(&[&BACK]).answers::<Reloaded>(&[200]);

pub(super) async fn rollback(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let n = call.query.get(&BACK)?;
    let placed = unless_hung_up(&call.hung_up, gateway.plugins.rollback(call.param("name"), n)).await?;
    reload_reply(&gateway, placed).await
}
