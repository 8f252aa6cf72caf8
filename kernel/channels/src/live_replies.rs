//! Live replies in a pump: from the begin of a turn until its reply has taken the place of what was shown.

use std::ops::ControlFlow;
use std::time::Duration;

use tracing::warn;

use super::input::TimerKey;
use super::live_reply::Update;
use super::pump::{Pump, Work};
use prx_store::{Conversation, OutboxEntry, TurnId};

/// How often a turn between two attempts is looked at, in seconds.
const NEXT_ATTEMPT_POLL: Duration = Duration::from_secs(2);

impl Pump<'_> {
    /// Takes up the live replies that an earlier run of the connector left.
    pub(super) fn restore_live_replies(&mut self) -> ControlFlow<()> {
        let channel = &self.component.setup.name;
        match self.services.store.streams(channel) {
            Ok(left) => {
                let turns = self.work.live_replies.restore(channel, left, self.services.base.clock.now());
                turns.into_iter().try_for_each(|turn| self.update_live_reply(turn))
            }
            Err(error) => self.store_failed(&error),
        }
    }

    /// Brings the live reply of a turn up to date, and sets a timer for the next update.
    pub(super) fn update_live_reply(&mut self, turn: TurnId) -> ControlFlow<()> {
        let (options, now) = (self.component.setup.live_replies, self.services.base.clock.now());
        let Work { outbound, live_replies, .. } = &mut self.work;
        let is_free = |conversation: &Conversation| !outbound.has(conversation);
        match live_replies.update(&turn, options, is_free, now) {
            None => {}
            Some(Update::Running { operations, next_update }) => {
                self.queue_all(operations);
                self.work.timers.set(TimerKey::LiveReply(turn), next_update);
            }
            Some(Update::AttemptEnded) => return self.end_attempt(turn),
        }
        ControlFlow::Continue(())
    }

    /// Whether an entry of the outbox takes the place of a live reply.
    pub(super) fn shows(&self, entry: &OutboxEntry) -> bool {
        entry.turn.as_ref().is_some_and(|turn| self.work.live_replies.message(turn).is_some())
    }

    /// An entry of the outbox has come to its end. A reply that did not take the place of its live reply has that
    /// deleted; after anything else, what is shown next goes below it.
    pub(super) fn end_live_reply(&mut self, entry: &OutboxEntry, instead: bool) {
        let Some(turn) = &entry.turn else {
            self.ended_live_replies.extend(self.work.live_replies.detach(&entry.conversation));
            return;
        };
        let deletion = self.work.live_replies.remove(turn);
        if instead && self.component.setup.live_replies.delete {
            self.queue_all(deletion);
        }
    }

    /// The attempt at a turn is over: its reply takes over, or another attempt, or there will be none of either.
    fn end_attempt(&mut self, turn: TurnId) -> ControlFlow<()> {
        // What ended the attempt was committed before.
        self.fill_outbound()?;
        if self.work.outbound.answers(&turn) {
            return ControlFlow::Continue(());
        }
        let live_replies = &self.work.live_replies;
        let waits = match self.services.store.turn_waits(&turn) {
            Ok(waits) => waits || live_replies.is_pending(&turn) || self.work.outbound.is_full(),
            Err(error) => return self.store_failed(&error),
        };
        if waits && live_replies.contains(&turn) {
            self.work.timers.set(TimerKey::LiveReply(turn), NEXT_ATTEMPT_POLL);
            return ControlFlow::Continue(());
        }
        let is_shown = live_replies.message(&turn).is_some();
        if is_shown {
            warn!(
                session_id = turn.session,
                "a turn ended without a reply to take the place of what was shown"
            );
        }
        if is_shown || live_replies.is_doubtful(&turn) {
            self.ended_live_replies.push(turn.clone());
        }
        let last_edit = self.work.live_replies.cut_off(&turn);
        self.queue_all(last_edit);
        ControlFlow::Continue(())
    }
}
