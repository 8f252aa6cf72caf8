//! Connectors: one warm instance, called for each batch of events.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::bindings::connector::{Context, Event, Step};
use super::call::CallError;
use super::imports::Host;
use super::instance::{GuestInstance, Linked, Missing, classify, within};
use super::limits::Limits;
use super::meter::Meter;

/// Most that a step may hand over, in bytes; it holds the connector's whole state.
const MAX_STEP_BYTES: usize = 16 << 20;

/// Longest deadline of a call, whatever the manifest asks for: a connector has nothing to wait for, and its channel
/// waits for it, as does a shutdown.
const MAX_DEADLINE: Duration = Duration::from_secs(30);

/// A connector's instance, owned by the task that feeds it.
///
/// The same input gives the same output: what it sees of time and chance comes with each call.
pub struct Connector {
    linked: Arc<Linked>,
    /// None after a trap, or after a call that timed out.
    instance: Option<GuestInstance>,
}

impl Connector {
    pub(super) async fn start(linked: Arc<Linked>) -> Result<Self, CallError> {
        let limits = bounded(&linked.shared.links.limits);
        let meter = Meter::new(limits.cpu, &linked.share);
        let host = Host::pure(&linked.shared, Arc::clone(&meter));
        let starting = GuestInstance::start(&linked, host, MAX_STEP_BYTES);
        let started = within(&limits, &meter, pin!(starting)).await?;
        let instance = started.map_err(|error| classify(&error, None, &linked.shared))?;
        match instance.guest.connector {
            Some(_) => Ok(Self { linked, instance: Some(instance) }),
            None => Err(CallError::NoSuch("connector".into())),
        }
    }

    /// Handles events in order.
    ///
    /// # Errors
    /// See [`CallError`]. After anything but a fault, or when the call is given up, the instance is dead and
    /// every further call answers [`CallError::Stopped`]: start another one.
    pub async fn handle(
        &mut self,
        context: &Context,
        state: &[u8],
        events: &[Event],
    ) -> Result<Step, CallError> {
        let answer = self.call(context.now, context.seed, async |instance| {
            let connector = instance.guest.connector.as_ref().ok_or(Missing("connector"))?;
            connector.call_handle(&mut instance.store, context, state, events).await
        });
        answer.await?.map_err(CallError::Fault)
    }

    /// Brings state that an older version wrote up to this one's.
    ///
    /// # Errors
    /// As [`Connector::handle`].
    pub async fn migrate(&mut self, from_version: u32, state: &[u8]) -> Result<Vec<u8>, CallError> {
        let answer = self.call(0, 0, async |instance| {
            let connector = instance.guest.connector.as_ref().ok_or(Missing("connector"))?;
            connector.call_migrate(&mut instance.store, from_version, state).await
        });
        answer.await?.map_err(CallError::Fault)
    }

    async fn call<R>(
        &mut self,
        now_ms: u64,
        seed: u64,
        work: impl AsyncFnOnce(&mut GuestInstance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let mut instance = self.instance.take().ok_or(CallError::Stopped)?;
        let limits = bounded(&self.linked.shared.links.limits);
        let meter = Meter::new(limits.cpu, &self.linked.share);
        instance.resume(&meter);
        instance.store.data_mut().set_inputs(now_ms, seed);
        let outcome = within(&limits, &meter, pin!(work(&mut instance))).await?;
        match outcome {
            Ok(answer) => {
                self.instance = Some(instance);
                Ok(answer)
            }
            Err(error) => Err(classify(&error, Some(&instance), &self.linked.shared)),
        }
    }
}

fn bounded(limits: &Limits) -> Limits {
    Limits { deadline: limits.deadline.min(MAX_DEADLINE), ..*limits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_gives_a_connector_no_more_time_than_its_channel_has() {
        let asking = |secs| Limits { deadline: Duration::from_secs(secs), ..Limits::default() };
        assert_eq!(bounded(&asking(600)), asking(30));
        assert_eq!(bounded(&asking(2)), asking(2));
    }
}
