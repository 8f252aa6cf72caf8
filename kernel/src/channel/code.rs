//! The code that a channel runs: one warm instance, and the one before it while the new one is on probation.

use std::sync::Arc;

use super::setup::Setup;
use crate::plugin::bindings::connector as wire;
use crate::plugin::{CallError, Connector, Generation};
use crate::store::ChannelState;

/// A generation of a connector's code, what it is set up with, and its instance while that is sound.
pub(super) struct Code {
    pub(super) generation: Arc<Generation>,
    pub(super) setup: Setup,
    state: ChannelState,
    instance: Option<Connector>,
    /// What to go back to, until the new code has handled its first events.
    previous: Option<Box<Code>>,
}

impl Code {
    /// Code that begins with this state; an older version's state is migrated first.
    pub(super) async fn begin(
        generation: Arc<Generation>,
        setup: Setup,
        state: Option<ChannelState>,
    ) -> Result<Self, CallError> {
        let version = state_version(&generation);
        let state = state.unwrap_or(ChannelState { version, bytes: Vec::new() });
        let mut code = Self { generation, setup, state, instance: None, previous: None };
        code.migrate().await?;
        Ok(code)
    }

    /// Puts newer code in the place of this one, on probation.
    ///
    /// # Errors
    /// The new code can't be instantiated or can't take over the state: this code stays, as it was.
    pub(super) async fn swap(&mut self, generation: Arc<Generation>, setup: Setup) -> Result<(), CallError> {
        let mut next = Self::begin(generation, setup, Some(self.state.clone())).await?;
        ready(&mut next.instance, &next.generation).await?;
        self.previous = None;
        let before = std::mem::replace(self, next);
        self.previous = Some(Box::new(before));
        Ok(())
    }

    /// Ends the probation: there is no way back to the code before.
    pub(super) fn keep(&mut self) {
        self.previous = None;
    }

    /// Goes back to the code and state before, if this code is still on probation.
    pub(super) fn roll_back(&mut self) -> bool {
        match self.previous.take() {
            Some(before) => {
                *self = *before;
                true
            }
            None => false,
        }
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

    /// The state with `bytes` in it, to be committed.
    pub(super) fn next_state(&self, bytes: Vec<u8>) -> ChannelState {
        ChannelState { version: self.state.version, bytes }
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
