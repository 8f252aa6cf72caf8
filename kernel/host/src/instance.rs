//! Instances of a component, and what holds them to their limits.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::bindings::{agent, connector, filter, job, observer, provider, route, skill, tool};
use super::call::CallError;
use super::imports::{CallState, Host, Shared};
use super::journal::Level;
use super::limits::{Exceeded, Limits};
use super::meter::Meter;
use super::share::{Needs, Place, Share};

/// Most clean instances that are kept for the next call, where the manifest allows it.
const MAX_IDLE_INSTANCES: usize = 8;

/// Most memory of an instance that is kept, in bytes.
const MAX_IDLE_BYTES: u64 = 16 << 20;

/// Most that a component may hand over in one answer or one host call, in bytes.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// What the engine says of an answer, or a call of the host, with more bytes than that: the error has no type.
const HANDED_OVER: &str = "fuel allocated for hostcalls";
/// How long a call may be heard: 24 hours.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Which capabilities a component exports, and where.
pub(super) struct Exports {
    connector: Option<connector::GuestIndices>,
    tool: Option<tool::GuestIndices>,
    skill: Option<skill::GuestIndices>,
    provider: Option<provider::GuestIndices>,
    agent: Option<agent::GuestIndices>,
    job: Option<job::GuestIndices>,
    observer: Option<observer::GuestIndices>,
    route: Option<route::GuestIndices>,
    filter: Option<filter::GuestIndices>,
}

impl Exports {
    pub(super) fn of(component: &InstancePre<Host>) -> Self {
        Self {
            connector: connector::GuestIndices::new(component).ok(),
            tool: tool::GuestIndices::new(component).ok(),
            skill: skill::GuestIndices::new(component).ok(),
            provider: provider::GuestIndices::new(component).ok(),
            agent: agent::GuestIndices::new(component).ok(),
            job: job::GuestIndices::new(component).ok(),
            observer: observer::GuestIndices::new(component).ok(),
            route: route::GuestIndices::new(component).ok(),
            filter: filter::GuestIndices::new(component).ok(),
        }
    }

    fn load(&self, store: &mut Store<Host>, instance: &Instance) -> wasmtime::Result<Box<Guest>> {
        let (connector, tool) = (self.connector.as_ref(), self.tool.as_ref());
        let (skill, provider, agent) = (self.skill.as_ref(), self.provider.as_ref(), self.agent.as_ref());
        let (observer, route, filter) = (self.observer.as_ref(), self.route.as_ref(), self.filter.as_ref());
        Ok(Box::new(Guest {
            connector: connector.map(|indices| indices.load(&mut *store, instance)).transpose()?,
            tool: tool.map(|indices| indices.load(&mut *store, instance)).transpose()?,
            skill: skill.map(|indices| indices.load(&mut *store, instance)).transpose()?,
            provider: provider.map(|indices| indices.load(&mut *store, instance)).transpose()?,
            agent: agent.map(|indices| indices.load(&mut *store, instance)).transpose()?,
            job: self.job.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?,
            observer: observer.map(|indices| indices.load(&mut *store, instance)).transpose()?,
            route: route.map(|indices| indices.load(&mut *store, instance)).transpose()?,
            filter: filter.map(|indices| indices.load(&mut *store, instance)).transpose()?,
        }))
    }
}

/// The capability that was called for isn't there.
#[derive(Debug, thiserror::Error)]
#[error("no {0}")]
pub(super) struct Missing(pub(super) &'static str);

/// The capabilities of one instance.
pub(super) struct Guest {
    pub(super) connector: Option<connector::Guest>,
    pub(super) tool: Option<tool::Guest>,
    pub(super) skill: Option<skill::Guest>,
    pub(super) provider: Option<provider::Guest>,
    pub(super) agent: Option<agent::Guest>,
    pub(super) job: Option<job::Guest>,
    pub(super) observer: Option<observer::Guest>,
    pub(super) route: Option<route::Guest>,
    pub(super) filter: Option<filter::Guest>,
}

/// An instance of a component. After a trap, or a call that timed out, it can't be used any more.
pub(super) struct GuestInstance {
    pub(super) store: Store<Host>,
    /// Boxed, for each call moves the instance about.
    pub(super) guest: Box<Guest>,
    /// What it has of its plugin's share.
    _place: Option<Place>,
}

/// The instance that a call is going to run on, leased from the pool of its component.
pub(super) enum Lease {
    /// On an instance that was idle.
    Idle(GuestInstance),
    /// On a new one.
    New(Option<Place>),
}

impl GuestInstance {
    /// Makes an instance that may hand over `answer_bytes` in one answer or host call.
    pub(super) async fn start(linked: &Linked, host: Host, answer_bytes: usize) -> wasmtime::Result<Self> {
        let mut store = Store::new(linked.component.engine(), host);
        store.limiter(|host| &mut host.limiter);
        store.set_hostcall_fuel(answer_bytes);
        store.set_epoch_deadline(1);
        // At each tick other tasks get their turn; a guest that has used its time up is stopped.
        store.epoch_deadline_callback(|store| {
            let meter = &store.data().meter;
            match meter.exhausted() {
                true => Err(Exceeded::Cpu.into()),
                false => Ok(UpdateDeadline::YieldCustom(1, Box::pin(Arc::clone(meter).next_moment()))),
            }
        });
        let instance = linked.component.instantiate_async(&mut store).await;
        let guest = instance.and_then(|instance| linked.exports.load(&mut store, &instance));
        match guest {
            Ok(guest) => Ok(Self { store, guest, _place: None }),
            Err(error) => Err(store.data().limiter.refused().map_or(error, Into::into)),
        }
    }

    /// Makes an instance that has answered before ready for a further call.
    pub(super) fn resume(&mut self, meter: &Arc<Meter>) {
        let host = self.store.data_mut();
        host.meter = Arc::clone(meter);
        self.store.set_epoch_deadline(1);
    }

    /// Drops the state of the last call, with the files that it has made and that were not kept.
    fn reset(&mut self) {
        self.store.data_mut().call = CallState::default();
    }

    /// Whether the last call left nothing behind, and not too much memory.
    fn is_clean(&self) -> bool {
        let host = self.store.data();
        host.limiter.held() <= MAX_IDLE_BYTES && host.limiter.refused().is_none() && host.table.is_empty()
    }
}

/// How much a component takes.
pub(super) struct Size {
    /// What one instance takes of what all plugins share.
    pub(super) needs: Needs,
    /// Its native code, in bytes.
    pub(super) image_bytes: u64,
}

/// A component linked to what it gets, and its idle instances.
pub(super) struct Linked {
    pub(super) shared: Arc<Shared>,
    /// Size of its native code, in bytes.
    pub(super) image_bytes: u64,
    pub(super) share: Arc<Share>,
    needs: Needs,
    component: InstancePre<Host>,
    exports: Exports,
    /// Instances between two calls. The lock is held to take or put one, never across an await.
    idle: Mutex<Vec<GuestInstance>>,
}

impl Linked {
    pub(super) fn new(component: InstancePre<Host>, shared: Shared, share: Arc<Share>, size: Size) -> Self {
        let Size { needs, image_bytes } = size;
        Self {
            shared: Arc::new(shared),
            image_bytes,
            exports: Exports::of(&component),
            share,
            needs,
            component,
            idle: Mutex::default(),
        }
    }

    /// An idle instance, or a place for a new one; waits for it at most as long as the call may take.
    pub(super) async fn lease(&self) -> Result<Lease, CallError> {
        if let Some(instance) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(Lease::Idle(instance));
        }
        let place = timeout(self.shared.links.limits.deadline, self.share.place(self.needs)).await;
        let refused = |_| match self.share.is_unused() {
            true => CallError::Busy,
            false => CallError::TooMany(self.needs.most()),
        };
        place.map(|place| Lease::New(Some(place))).map_err(refused)
    }

    /// The instance for a call.
    pub(super) async fn acquire(&self, lease: Lease, meter: &Arc<Meter>) -> wasmtime::Result<GuestInstance> {
        match lease {
            Lease::Idle(mut instance) => {
                instance.resume(meter);
                Ok(instance)
            }
            Lease::New(place) => {
                let host = match self.exports.agent {
                    Some(_) => Host::pure(&self.shared, Arc::clone(meter)),
                    None => Host::new(&self.shared, Arc::clone(meter)),
                };
                let instance = GuestInstance::start(self, host, MAX_ANSWER_BYTES).await?;
                Ok(GuestInstance { _place: place, ..instance })
            }
        }
    }

    /// Keeps an instance that has answered for the next call, if it may serve one.
    pub(super) fn release(&self, mut instance: GuestInstance) {
        // Where others wait for its place, they get it.
        if !self.shared.links.reuse || !instance.is_clean() || !self.share.has_room(self.needs) {
            return;
        }
        instance.reset();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE_INSTANCES {
            idle.push(instance);
        }
    }
}

/// Runs one call within its limits. The deadline begins anew whenever the call is heard: of an answer that grows silence is
/// the end, and not its length, for a day.
///
/// # Errors
/// The deadline passed; the work is dropped.
pub(super) async fn within<R>(
    limits: &Limits,
    meter: &Arc<Meter>,
    work: Pin<&mut impl Future<Output = wasmtime::Result<R>>>,
) -> Result<wasmtime::Result<R>, CallError> {
    let work = pin!(async {
        meter.begin().await;
        work.await
    });
    let mut work = Arc::clone(meter).watch(work);
    let (mut heard, mut left) = (meter.heard(), limits.deadline);
    loop {
        if let Ok(outcome) = timeout(left, &mut work).await {
            return Ok(outcome);
        }
        if meter.heard() == heard || meter.heard() > MAX_ANSWER_TIME {
            return Err(match meter.is_in_own_line() {
                true => CallError::Crowded(limits.deadline),
                false => CallError::Deadline(limits.deadline),
            });
        }
        (heard, left) = (meter.heard(), limits.deadline.saturating_sub(meter.silence()));
    }
}

/// Which [`CallError`] an error of the engine is.
pub(super) fn classify(
    error: &wasmtime::Error,
    instance: Option<&GuestInstance>,
    shared: &Shared,
) -> CallError {
    let limits = &shared.links.limits;
    let refused = instance.and_then(|instance| instance.store.data().limiter.refused());
    if let Some(Missing(what)) = error.downcast_ref() {
        return CallError::NoSuch((*what).to_owned());
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::Busy;
    }
    shared.journal.write(Level::Debug, &format!("{error:?}"));
    match error.downcast_ref().copied().or(refused) {
        Some(Exceeded::Cpu) => CallError::CpuLimit(limits.cpu),
        Some(Exceeded::Memory) => CallError::OutOfMemory(limits.memory_bytes),
        Some(Exceeded::PluginMemory) => CallError::Full(shared.gauge.most()),
        None => match error.downcast_ref() {
            Some(I32Exit(status)) => CallError::Trap(format!("it exited with status {status}")),
            None => CallError::Trap(reason(error, instance)),
        },
    }
}

/// Why a call broke off, in words of its own where those of the engine would lead nowhere.
fn reason(error: &wasmtime::Error, instance: Option<&GuestInstance>) -> String {
    let reason = error.root_cause().to_string();
    match instance {
        Some(instance) if reason.contains(HANDED_OVER) => {
            format!("it hands over more than {} bytes at once", instance.store.hostcall_fuel())
        }
        _ => reason,
    }
}
