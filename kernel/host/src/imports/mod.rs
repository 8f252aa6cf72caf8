//! What a component may ask of the kernel: one file for each interface it can import.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::p2::add_only_http_to_linker_async;

use self::blobs::Made;
use self::clocks::Time;
use self::http::Outgoing;
use self::log::Journal;
use self::random::Entropy;
use super::bindings;
use super::engine::Services;
use super::limits::{Gauge, Limiter, Meter};
use super::links::Links;
use super::scope::Scope;

mod blobs;
mod clocks;
mod config;
mod http;
mod kv;
pub(super) mod log;
mod memory;
mod random;
pub(super) mod sink;
mod stdio;
mod wasi;

/// Handles that one instance may hold at a time.
const MOST_HANDLES: usize = 1000;

/// What all instances of one generation of a plugin have in common.
pub(super) struct Shared {
    pub(super) links: Links,
    pub(super) services: Services,
    pub(super) journal: Journal,
    pub(super) gauge: Arc<Gauge>,
}

/// One call, as long as it lasts.
#[derive(Default)]
pub(super) struct Underway {
    /// What it may see.
    pub(super) scope: Scope,
    /// The files it has made.
    made: Made,
}

impl From<Scope> for Underway {
    fn from(scope: Scope) -> Self {
        Self { scope, ..Self::default() }
    }
}

/// The kernel's side of one instance.
pub(super) struct Host {
    pub(super) limiter: Limiter,
    pub(super) meter: Arc<Meter>,
    pub(super) table: ResourceTable,
    /// The call that is under way.
    pub(super) call: Underway,
    shared: Arc<Shared>,
    time: Time,
    entropy: Entropy,
    wasi: WasiCtx,
    http: Outgoing,
}

impl Host {
    /// For calls that may look at the clock and reach the network: tools, skills, providers.
    pub(super) fn new(shared: &Arc<Shared>, meter: Arc<Meter>) -> Self {
        let time = Time::real(shared.services.clock.clone());
        Self::with(shared, meter, time, Entropy::System)
    }

    /// For calls that must give the same output for the same input: connectors.
    pub(super) fn pure(shared: &Arc<Shared>, meter: Arc<Meter>) -> Self {
        Self::with(shared, meter, Time::given(), Entropy::Seeded(0))
    }

    /// What a pure instance sees of time and chance until the next call.
    pub(super) fn set_inputs(&mut self, now_ms: u64, seed: u64) {
        self.time.set(now_ms);
        self.entropy = Entropy::Seeded(seed);
    }

    fn with(shared: &Arc<Shared>, meter: Arc<Meter>, time: Time, entropy: Entropy) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_HANDLES);
        Self {
            limiter: Limiter::new(&shared.links.limits, Arc::clone(&shared.gauge)),
            meter,
            table,
            call: Underway::default(),
            wasi: wasi::context(shared, &time),
            http: Outgoing::new(shared),
            shared: Arc::clone(shared),
            time,
            entropy,
        }
    }
}

/// Serves what every component may import, and of the rest what `links` grants.
pub(super) fn link(linker: &mut Linker<Host>, links: &Links) -> wasmtime::Result<()> {
    wasi::link(linker)?;
    bindings::types::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    bindings::log::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    bindings::config::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    bindings::blobs::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    bindings::sink::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    if links.kv_bytes.is_some() {
        bindings::kv::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    }
    if links.memory.is_some() {
        bindings::memory::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    }
    if links.http.is_some() {
        add_only_http_to_linker_async(linker)?;
    }
    Ok(())
}

impl bindings::types::Host for Host {}
