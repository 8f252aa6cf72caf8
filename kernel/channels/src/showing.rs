//! Turns as the platform sees them, from their begin until their reply has taken its place.

use std::ops::ControlFlow;
use std::time::Duration;

use tracing::warn;

use super::input::Alarm;
use super::pump::{Pump, Work};
use super::streams::Look;
use prx_store::{Conversation, OutboxEntry, TurnId};

/// When to look again at a turn that is between two attempts.
const LINGER: Duration = Duration::from_secs(2);

impl Pump<'_> {
    /// Takes up what an earlier life of the channel has shown of replies in the making.
    pub(super) fn take_up_shown(&mut self) -> ControlFlow<()> {
        let channel = &self.code.setup.name;
        match self.parts.store.streams(channel) {
            Ok(left) => {
                let turns = self.work.streams.load(channel, left, self.parts.clock.now());
                turns.into_iter().try_for_each(|turn| self.look_at(turn))
            }
            Err(error) => self.broken(&error),
        }
    }

    /// Shows what there is to show of a turn.
    pub(super) fn look_at(&mut self, turn: TurnId) -> ControlFlow<()> {
        let (means, now) = (self.code.setup.stream, self.parts.clock.now());
        let Work { outbound, streams, .. } = &mut self.work;
        let free = |conversation: &Conversation| !outbound.has(conversation);
        match streams.look(&turn, means, free, now) {
            None => {}
            Some(Look::Running(operations, again)) => {
                self.queue_all(operations);
                self.work.timers.set(Alarm::Turn(turn), again);
            }
            Some(Look::Ended) => return self.see_off(turn),
        }
        ControlFlow::Continue(())
    }

    /// Whether an entry of the outbox takes the place of a message that is there.
    pub(super) fn shows(&self, entry: &OutboxEntry) -> bool {
        entry.turn.as_ref().is_some_and(|turn| self.work.streams.message(turn).is_some())
    }

    /// An entry of the outbox has come to its end. A reply that did not take the place of what was shown has that
    /// taken back; after anything else, what is shown next goes below it.
    pub(super) fn replaced(&mut self, entry: &OutboxEntry, instead: bool) {
        let Some(turn) = &entry.turn else {
            self.forgotten.extend(self.work.streams.leave(&entry.conversation));
            return;
        };
        let shown = self.work.streams.forget(turn);
        if instead && self.code.setup.stream.delete {
            self.queue_all(shown);
        }
    }

    /// The attempt at a turn is over: its reply takes over, or another attempt, or there will be none of either.
    fn see_off(&mut self, turn: TurnId) -> ControlFlow<()> {
        // What ended the attempt was committed before.
        self.fill_outbound()?;
        if self.work.outbound.answers(&turn) {
            return ControlFlow::Continue(());
        }
        let waits = match self.parts.store.turn_waits(&turn) {
            Ok(waits) => waits || self.work.streams.is_asking(&turn) || self.work.outbound.is_full(),
            Err(error) => return self.broken(&error),
        };
        if waits && self.work.streams.knows(&turn) {
            self.work.timers.set(Alarm::Turn(turn), LINGER);
            return ControlFlow::Continue(());
        }
        if self.work.streams.message(&turn).is_some() {
            warn!(
                session_id = turn.session,
                "a turn ended without a reply to take the place of what was shown"
            );
            self.forgotten.push(turn.clone());
        }
        let cut_off = self.work.streams.cut_off(&turn);
        self.queue_all(cut_off);
        ControlFlow::Continue(())
    }
}
