//! The component that a channel runs: its code, its state, one warm instance, and the code before it while new code is
//! on probation.

use std::sync::Arc;

use super::setup::Setup;
use prx_host::bindings::connector as wire;
use prx_host::{CallError, Connector, Generation};
use prx_store::ChannelState;

/// Events after which new code has passed its probation.
const PROBATION_EVENTS: usize = 32;

/// A generation of a connector's code, its setup, its state, and its instance while that is sound.
pub(super) struct Component {
    pub(super) generation: Arc<Generation>,
    pub(super) setup: Setup,
    state: ChannelState,
    instance: Option<Connector>,
    probation: Option<Box<Probation>>,
}

/// What there is to go back to, until new code has shown that it works.
///
/// The rule. As long as nothing has come of the new code outside (a message, a request, a frame, an outcome), going
/// back undoes all of it: the code before takes over with the state from before the swap, and handles every event
/// since once more. From then on what was committed stands, for undoing it would say or ask things twice: the code
/// before takes over with the state as it is, and handles the events again that failed. If the versions of the state
/// differ, it has to be able to migrate it; if it is not, the new code stays.
struct Probation {
    previous: Component,
    /// Every event since the swap, as long as nothing has come of them outside.
    undo: Option<Vec<wire::Event>>,
    handled: usize,
}

impl Component {
    /// Code that begins with this state; an older version's state is migrated first.
    pub(super) async fn begin(
        generation: Arc<Generation>,
        setup: Setup,
        state: Option<ChannelState>,
    ) -> Result<Self, CallError> {
        let version = state_version(&generation);
        let state = state.unwrap_or(ChannelState { version, bytes: Vec::new() });
        let mut component = Self { generation, setup, state, instance: None, probation: None };
        component.migrate().await?;
        Ok(component)
    }

    /// Puts newer code in the place of this one, on probation. The probation of this one ends.
    ///
    /// # Errors
    /// The new code can't be instantiated or can't take over the state: this code stays, as it was.
    pub(super) async fn swap(&mut self, generation: Arc<Generation>, setup: Setup) -> Result<(), CallError> {
        let mut next = Self::begin(generation, setup, Some(self.state.clone())).await?;
        ready(&mut next.instance, &next.generation).await?;
        self.probation = None;
        let previous = std::mem::replace(self, next);
        self.probation = Some(Box::new(Probation { previous, undo: Some(Vec::new()), handled: 0 }));
        Ok(())
    }

    /// The code that there is to go back to.
    pub(super) fn previous(&self) -> Option<&Arc<Generation>> {
        self.probation.as_ref().map(|probation| &probation.previous.generation)
    }

    /// Notes events whose step is committed, and whether anything came of them that the outside has noticed. Returns
    /// how many events the code has handled on its probation, if it is on probation.
    pub(super) fn record_handled(&mut self, events: Vec<wire::Event>, visible: bool) -> Option<usize> {
        let probation = self.probation.as_mut()?;
        let events: Vec<_> =
            events.into_iter().filter(|event| !matches!(event, wire::Event::Resumed(_))).collect();
        probation.handled += events.len();
        match &mut probation.undo {
            Some(undo) if !visible => undo.extend(events),
            undo => *undo = None,
        }
        let handled = probation.handled;
        if handled >= PROBATION_EVENTS {
            self.end_probation();
        }
        Some(handled)
    }

    /// Ends the probation: there is no way back to the code before.
    pub(super) fn end_probation(&mut self) {
        self.probation = None;
    }

    /// Goes back to the code before, if there is a way back. Its state is then to be committed. Returns the events
    /// that it has to handle again besides those that failed.
    pub(super) async fn roll_back(&mut self) -> Result<Option<Vec<wire::Event>>, CallError> {
        let Some(probation) = self.probation.take() else { return Ok(None) };
        let Probation { mut previous, undo, .. } = *probation;
        if undo.is_none() {
            previous.state = self.state.clone();
            previous.migrate().await?;
        }
        *self = previous;
        Ok(Some(undo.unwrap_or_default()))
    }

    /// Handles events. After an error the instance is gone, and the next call gets a fresh one.
    pub(super) async fn handle(
        &mut self,
        context: &wire::Context,
        events: &[wire::Event],
    ) -> Result<wire::Step, CallError> {
        let instance = ready(&mut self.instance, &self.generation).await?;
        let result = instance.handle(context, &self.state.bytes, events).await;
        if result.is_err() {
            self.instance = None;
        }
        result
    }

    /// The state, as of the last commit.
    pub(super) fn state(&self) -> &ChannelState {
        &self.state
    }

    /// The state with `bytes` in it, to be committed.
    pub(super) fn next_state(&self, bytes: Vec<u8>) -> ChannelState {
        ChannelState { version: self.state.version, bytes }
    }

    /// Whether the platform sends again what it was given no sign of having been taken.
    pub(super) fn is_replayed(&self) -> bool {
        self.generation.manifest.channel.as_ref().is_none_or(|channel| channel.replays)
    }

    /// Whether silence means nothing, for the platform calls when there is something.
    pub(super) fn is_quiet(&self) -> bool {
        self.generation.manifest.channel.as_ref().is_some_and(|channel| channel.quiet)
    }

    /// Takes over a state that is committed.
    pub(super) fn set_state(&mut self, state: ChannelState) {
        self.state = state;
    }

    async fn migrate(&mut self) -> Result<(), CallError> {
        let version = state_version(&self.generation);
        if self.state.version != version && !self.state.bytes.is_empty() {
            let instance = ready(&mut self.instance, &self.generation).await?;
            self.state.bytes = instance.migrate(self.state.version, &self.state.bytes).await?;
        }
        self.state.version = version;
        Ok(())
    }
}

/// The instance there is, or a fresh one in its place.
async fn ready<'a>(
    instance: &'a mut Option<Connector>,
    generation: &Generation,
) -> Result<&'a mut Connector, CallError> {
    match instance {
        Some(instance) => Ok(instance),
        empty => Ok(empty.insert(generation.code.connector().await?)),
    }
}

fn state_version(generation: &Generation) -> u32 {
    generation.manifest.channel.as_ref().map_or(1, |channel| channel.state_version)
}
