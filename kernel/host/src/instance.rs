//! Instances of a component, and what holds them to their limits.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::timeout;
use wasmtime::component::{Instance, InstancePre};
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::bindings::{connector, provider, skill, tool};
use super::call::CallError;
use super::code::Linked;
use super::imports::log::Level;
use super::imports::{Host, Shared, Underway};
use super::limits::{Exceeded, Limits, Meter};

/// Which capabilities a component exports, and where.
pub(super) struct Exports {
    connector: Option<connector::GuestIndices>,
    tool: Option<tool::GuestIndices>,
    skill: Option<skill::GuestIndices>,
    provider: Option<provider::GuestIndices>,
}

impl Exports {
    pub(super) fn of(component: &InstancePre<Host>) -> Self {
        Self {
            connector: connector::GuestIndices::new(component).ok(),
            tool: tool::GuestIndices::new(component).ok(),
            skill: skill::GuestIndices::new(component).ok(),
            provider: provider::GuestIndices::new(component).ok(),
        }
    }

    fn load(&self, store: &mut Store<Host>, instance: &Instance) -> wasmtime::Result<Guest> {
        let (connector, tool) = (self.connector.as_ref(), self.tool.as_ref());
        let (skill, provider) = (self.skill.as_ref(), self.provider.as_ref());
        Ok(Guest {
            connector: connector.map(|indices| indices.load(&mut *store, instance)).transpose()?,
            tool: tool.map(|indices| indices.load(&mut *store, instance)).transpose()?,
            skill: skill.map(|indices| indices.load(&mut *store, instance)).transpose()?,
            provider: provider.map(|indices| indices.load(&mut *store, instance)).transpose()?,
        })
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
}

/// An instance. After a trap, or a call that was given up, it is of no use any more.
pub(super) struct Live {
    pub(super) store: Store<Host>,
    pub(super) guest: Guest,
}

impl Live {
    /// Makes an instance that may hand over `answer_bytes` in one answer or host call.
    pub(super) async fn start(linked: &Linked, host: Host, answer_bytes: usize) -> wasmtime::Result<Self> {
        let mut store = Store::new(linked.component.engine(), host);
        store.limiter(|host| &mut host.limiter);
        store.set_hostcall_fuel(answer_bytes);
        store.set_epoch_deadline(1);
        // At each tick everyone else gets a turn; who has used his time up gets none any more.
        store.epoch_deadline_callback(|store| match store.data().meter.exhausted() {
            true => Err(Exceeded::Cpu.into()),
            false => Ok(UpdateDeadline::Yield(1)),
        });
        let instance = linked.component.instantiate_async(&mut store).await;
        let guest = instance.and_then(|instance| linked.exports.load(&mut store, &instance));
        match guest {
            Ok(guest) => Ok(Self { store, guest }),
            Err(_) if store.data().limiter.refused() => Err(Exceeded::Memory.into()),
            Err(error) => Err(error),
        }
    }

    /// Makes an instance that has answered before ready for a further call.
    pub(super) fn resume(&mut self, meter: &Arc<Meter>) {
        let host = self.store.data_mut();
        host.meter = Arc::clone(meter);
        self.store.set_epoch_deadline(1);
    }

    /// Lets go of what the last call was given, and of the files that it has made to no purpose.
    pub(super) fn rest(&mut self) {
        self.store.data_mut().call = Underway::default();
    }

    /// Whether the last call left nothing behind, and not more memory than `most`.
    pub(super) fn is_clean(&self, most: u64) -> bool {
        let host = self.store.data();
        host.limiter.held() <= most && !host.limiter.refused() && host.table.is_empty()
    }
}

/// Does the work of one call within its limits.
///
/// # Errors
/// The deadline passed; the work is dropped.
pub(super) async fn within<R>(
    limits: &Limits,
    meter: &Arc<Meter>,
    work: impl Future<Output = wasmtime::Result<R>>,
) -> Result<wasmtime::Result<R>, CallError> {
    let work = pin!(work);
    let outcome = timeout(limits.deadline, Arc::clone(meter).watch(work)).await;
    outcome.map_err(|_| CallError::Deadline(limits.deadline))
}

/// What an error of the engine says about the component.
pub(super) fn judge(error: &wasmtime::Error, live: Option<&Live>, shared: &Shared) -> CallError {
    let limits = &shared.links.limits;
    let starved = live.is_some_and(|live| live.store.data().limiter.refused());
    if let Some(Missing(what)) = error.downcast_ref() {
        return CallError::NoSuch((*what).to_owned());
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::Busy;
    }
    shared.journal.write(Level::Debug, &format!("{error:?}"));
    match error.downcast_ref() {
        Some(Exceeded::Cpu) => CallError::CpuLimit(limits.cpu),
        Some(Exceeded::Memory) => CallError::OutOfMemory(limits.memory_bytes),
        None if starved => CallError::OutOfMemory(limits.memory_bytes),
        None => match error.downcast_ref() {
            Some(I32Exit(status)) => CallError::Trap(format!("it exited with status {status}")),
            None => CallError::Trap(error.root_cause().to_string()),
        },
    }
}
