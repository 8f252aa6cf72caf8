//! The kernel's side of one instance: what its imports work on.

use std::collections::BTreeMap;
use std::sync::Arc;

use prx_store::NewBlob;
use tokio::sync::mpsc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::filesystem::FsPerms;

use super::clocks::Time;
use super::http::Outgoing;
use super::random::Entropy;
use super::shared::Shared;
use super::stdio::LogStream;
use crate::bindings::sink::Delta;
use crate::files::Files;
use crate::journal::Level;
use crate::limits::Limiter;
use crate::meter::Meter;
use crate::scope::{FollowedTurn, Scope};

/// Most handles that one instance may hold at a time.
const MAX_HANDLES: usize = 1000;

/// The state of one call.
#[derive(Default)]
pub(crate) struct CallState {
    /// What it may see.
    pub(crate) scope: Scope,
    /// The files it has made so far, by id. Those that are not kept when it ends go away with this.
    pub(super) made: BTreeMap<String, NewBlob>,
    /// Takes a provider's answer while it grows.
    pub(crate) deltas: Option<mpsc::Sender<Delta>>,
    /// The turns that it follows, by their handles.
    pub(super) turns: BTreeMap<u32, Box<dyn FollowedTurn>>,
}

impl From<Scope> for CallState {
    fn from(scope: Scope) -> Self {
        Self { scope, ..Self::default() }
    }
}

/// The kernel's side of one instance.
pub(crate) struct Host {
    pub(crate) limiter: Limiter,
    pub(crate) meter: Arc<Meter>,
    pub(crate) table: ResourceTable,
    /// The call that is under way.
    pub(crate) call: CallState,
    pub(super) shared: Arc<Shared>,
    time: Time,
    pub(super) entropy: Entropy,
    pub(super) wasi: WasiCtx,
    pub(super) http: Outgoing,
    /// The last, for by then its files are closed.
    _closed: Closed,
}

impl Host {
    /// For calls that may look at the clock and reach the network: tools, skills, providers.
    pub(crate) fn new(shared: &Arc<Shared>, meter: Arc<Meter>) -> Self {
        let time = Time::real(shared.services.clock.clone());
        Self::with(shared, meter, time, Entropy::System, shared.files.as_ref())
    }

    /// For calls that must give the same output for the same input: connectors.
    pub(crate) fn pure(shared: &Arc<Shared>, meter: Arc<Meter>) -> Self {
        Self::with(shared, meter, Time::given(), Entropy::Seeded(0), None)
    }

    /// What a pure instance sees of time and chance until the next call.
    pub(crate) fn set_inputs(&mut self, now_ms: u64, seed: u64) {
        self.time.set(now_ms);
        self.entropy = Entropy::Seeded(seed);
    }

    fn with(
        shared: &Arc<Shared>,
        meter: Arc<Meter>,
        time: Time,
        entropy: Entropy,
        files: Option<&Files>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self {
            limiter: Limiter::new(&shared.links.limits, Arc::clone(&shared.gauge)),
            meter,
            table,
            call: CallState::default(),
            wasi: context(shared, &time, files),
            http: Outgoing::new(shared),
            _closed: Closed(files.cloned()),
            shared: Arc::clone(shared),
            time,
            entropy,
        }
    }
}

/// A context whose output goes to the plugin's log, and that holds its private directory as its root, where there
/// is one.
fn context(shared: &Arc<Shared>, time: &Time, files: Option<&Files>) -> WasiCtx {
    let log = |level| LogStream { shared: Arc::clone(shared), level };
    let mut builder = WasiCtx::builder();
    builder
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .stdout(log(Level::Info))
        .stderr(log(Level::Warn))
        .wall_clock(time.clone())
        .monotonic_clock(time.clone());
    if let Some(files) = files
        && let Err(error) = builder.preopened_dir(files.path(), "/", FsPerms::ReadWrite)
    {
        shared.journal.write(Level::Error, &format!("its private directory cannot be opened: {error}"));
    }
    builder.build()
}

/// Files that were removed while an instance had them open are gone with it.
struct Closed(Option<Files>);

impl Drop for Closed {
    fn drop(&mut self) {
        if let Some(files) = &self.0 {
            files.shrunk();
        }
    }
}
