//! From a connector's step to a plan: what is committed, and what goes out after.

use std::time::Duration;

use jiff::Timestamp;

use super::convert;
use super::pump::Pump;
use prx_host::bindings::connector as wire;
use prx_store::{NewInbound, OnUnknown, OutboxEntry, OutboxOutcome, StepCommit};

/// How long an operation that the platform does not take yet is retried before it becomes a dead letter, in hours:
/// platforms are out of order for hours, and a reply of yesterday is hardly an answer.
const RETRY_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// Backoff before an operation whose outcome is unknown is sent once more, in seconds.
const UNKNOWN_RETRY_DELAY: Duration = Duration::from_secs(1);

/// What a step comes to.
///
/// The rule of durability:
///
/// 1. Everything that a step leaves behind is committed in one transaction: messages, outcomes of operations, live
///    replies and the connector's state. A crash leaves all of it or nothing.
/// 2. The operations of the batch that stay in flight are marked as dispatched in the same transaction, so that after
///    a crash it is known of each that it may have reached the platform; so is the first message of a live reply.
/// 3. Commands are carried out after the commit, in order, and not at all if it fails.
/// 4. The commit is on disk before commands are carried out. Only a replayable step need not wait for the disk: one
///    that a crash may undo, for the platform then says the same again. See [`Plan::is_replayable`].
pub(super) struct Plan {
    /// What is committed.
    pub(super) commit: StepCommit,
    /// What is carried out after the commit.
    pub(super) commands: Vec<wire::Command>,
}

impl Plan {
    /// Plans the step that a connector made of a batch of events.
    pub(super) fn new(pump: &mut Pump<'_>, batch: &[wire::Event], step: wire::Step) -> Self {
        let setup = &pump.component.setup;
        let commit = StepCommit {
            channel: setup.name.clone(),
            state: step.state.map(|bytes| pump.component.next_state(bytes)),
            max_turns: pump.services.base.config.current().agent.max_turns,
            interrupts: setup.interrupts,
            ..StepCommit::default()
        };
        let mut plan = Self { commit, commands: Vec::new() };
        for command in step.commands {
            plan.add(pump, command);
        }
        plan.commit.dispatched = plan.in_flight(pump, batch);
        let sends = outbound_ids(batch).filter_map(|id| pump.work.live_replies.sends(id));
        plan.commit.streams.extend(sends.map(|sent| (sent.turn.clone(), Some(sent))));
        plan.commit.streams.extend(pump.ended_live_replies.drain(..).map(|turn| (turn, None)));
        plan.commit.replayable = plan.is_replayable(pump, batch);
        plan
    }

    /// Whether anything comes of the step that the outside notices, so that it can't be undone.
    pub(super) fn is_visible(&self) -> bool {
        self.adds_content()
            || !self.commit.outcomes.is_empty()
            || !self.commit.dispatched.is_empty()
            || self.commands.iter().any(reaches_out)
    }

    /// Whether a crash may undo the step: the platform replays what it has no sign of having been taken, and nothing
    /// here is such a sign, or could be repeated by the replay.
    fn is_replayable(&self, pump: &Pump<'_>, batch: &[wire::Event]) -> bool {
        pump.component.is_replayed()
            && !self.adds_content()
            && !pump.work.outbound.is_at_work()
            && !self.acknowledges(batch)
    }

    /// Whether the step brings messages, or changes what is kept of live replies.
    fn adds_content(&self) -> bool {
        !self.commit.inbound.is_empty()
            || !self.commit.overheard.is_empty()
            || !self.commit.streams.is_empty()
    }

    /// Whether a platform may conclude from a command that what it said was taken: it gets an answer, or a frame, or
    /// what it said on a socket made the connection.
    fn acknowledges(&self, batch: &[wire::Event]) -> bool {
        let on_socket =
            |event: &wire::Event| matches!(event, wire::Event::WsText(_) | wire::Event::WsBinary(_));
        self.commands.iter().any(|command| match command {
            wire::Command::WebhookReply(_) | wire::Command::WsSend(_) => true,
            wire::Command::Status(wire::Status::Connected) => batch.iter().any(on_socket),
            _ => false,
        })
    }

    fn add(&mut self, pump: &mut Pump<'_>, command: wire::Command) {
        match command {
            wire::Command::Deliver(inbound) => {
                let command = (pump.services.command)(&inbound.text);
                let inbound = convert::received(&pump.component.setup.name, &pump.work.blobs, inbound);
                self.commit.inbound.push(NewInbound { command, ..inbound });
            }
            wire::Command::Overhear(said) => {
                let now = pump.services.base.clock.now();
                let (conversation, said) = convert::overheard(&pump.component.setup.name, said, now);
                self.commit.overheard.push((self.commit.inbound.len(), conversation, said));
            }
            wire::Command::Done(done) => {
                let now = pump.services.base.clock.now();
                if let Some(entry) = pump.work.outbound.at_work(&done.id) {
                    let outcome = classify(pump, entry, done.outcome);
                    self.commit.outcomes.push((done.id, outcome));
                } else {
                    let shown = pump.work.live_replies.settle(&done.id, &done.outcome, now);
                    self.commit.streams.extend(shown);
                }
            }
            command => self.commands.push(command),
        }
    }

    /// The operations of the batch that may reach the platform from here on.
    fn in_flight(&self, pump: &Pump<'_>, batch: &[wire::Event]) -> Vec<String> {
        let pending = |id: &&str| {
            let is_done = self.commit.outcomes.iter().any(|(done, _)| done == *id);
            pump.work.outbound.at_work(id).is_some() && !is_done
        };
        outbound_ids(batch).filter(pending).map(str::to_owned).collect()
    }
}

/// The ids of the operations in a batch.
fn outbound_ids(batch: &[wire::Event]) -> impl Iterator<Item = &str> {
    batch.iter().filter_map(|event| match event {
        wire::Event::Outbound(operation) => Some(operation.id.as_str()),
        _ => None,
    })
}

/// Whether the outside notices a command.
fn reaches_out(command: &wire::Command) -> bool {
    use wire::Command as C;
    !matches!(command, C::Status(_) | C::Proof(_) | C::Log(_) | C::Timer(_))
}

/// What the outcome that a connector reports means for an outbox entry: done, a retry, another operation instead, or
/// a dead letter.
fn classify(pump: &Pump<'_>, entry: &OutboxEntry, outcome: wire::Outcome) -> OutboxOutcome {
    let on_unknown = pump.component.setup.on_unknown;
    let edits = pump.shows(entry);
    match outcome {
        wire::Outcome::Ok(platform_id) => OutboxOutcome::Sent { platform_id },
        wire::Outcome::RetryAfter(ms) => {
            retry_after(entry, pump.services.base.clock.now(), Duration::from_millis(ms.into()))
        }
        // An edit that can't be made makes way for a message of its own.
        wire::Outcome::Refused(_) | wire::Outcome::Unsupported if edits => {
            OutboxOutcome::Instead { operation: entry.operation.clone() }
        }
        // Where the connector can't say, its platform can't either, whatever it takes only once.
        wire::Outcome::Unknown(reason) if on_unknown == OnUnknown::Drop || entry.maybe_duplicate => {
            OutboxOutcome::Failed { reason: format!("outcome unknown: {reason}") }
        }
        wire::Outcome::Unknown(_) => {
            OutboxOutcome::Retry { after: UNKNOWN_RETRY_DELAY, maybe_duplicate: true }
        }
        wire::Outcome::Unsupported => match convert::next_best(&entry.operation) {
            Some(operation) => OutboxOutcome::Instead { operation },
            None if convert::describe(&entry.operation).0 == "send" => {
                OutboxOutcome::Failed { reason: "the channel can't send this".into() }
            }
            // A courtesy that the platform does not know.
            None => OutboxOutcome::Sent { platform_id: None },
        },
        wire::Outcome::Refused(reason) => OutboxOutcome::Failed { reason },
    }
}

/// Retries an operation that the platform does not take yet, within the retry window.
fn retry_after(entry: &OutboxEntry, now: Timestamp, after: Duration) -> OutboxOutcome {
    if entry.vain_since.is_some_and(|since| now.duration_since(since).unsigned_abs() >= RETRY_WINDOW) {
        let hours = RETRY_WINDOW.as_secs() / 3600;
        return OutboxOutcome::Failed { reason: format!("the platform has not taken it for {hours} hours") };
    }
    OutboxOutcome::Retry { after, maybe_duplicate: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prx_store::{Conversation, Operation, OutboxState};
    use serde_json::json;

    #[test]
    fn what_the_platform_does_not_take_is_tried_for_a_day_however_often_that_is() {
        let now = Timestamp::UNIX_EPOCH;
        let mut entry = OutboxEntry {
            id: "out_1".into(),
            channel: "ops".into(),
            conversation: Conversation { channel: "ops".into(), conversation: "a".into(), thread: None },
            target: json!(null),
            operation: Operation::Typing,
            state: OutboxState::Sending,
            attempt: 1_000,
            maybe_duplicate: false,
            not_before: None,
            vain_since: None,
            turn: None,
            trace: None,
        };
        let (after, hour) = (Duration::from_secs(9), Duration::from_secs(3600));
        let again = OutboxOutcome::Retry { after, maybe_duplicate: false };
        assert_eq!(retry_after(&entry, now + 1_000 * hour, after), again, "the first time in vain");
        entry.vain_since = Some(now);
        assert_eq!(retry_after(&entry, now + 23 * hour, after), again);
        let OutboxOutcome::Failed { reason } = retry_after(&entry, now + 24 * hour, after) else {
            panic!("given up")
        };
        assert!(reason.contains("24 hours"), "{reason}");
    }
}
