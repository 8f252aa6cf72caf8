//! From a connector's step to one commit, and from the commit to its effects.

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, error};

use super::exchange;
use super::health::State;
use super::input::Alarm;
use super::pump::{Pump, module};
use prx_base::error::Error;
use prx_host::bindings::connector as wire;
use prx_host::{CallError, Level};
use prx_store::{OnUnknown, OutboxEntry, OutboxOutcome, StepCommit, StepReceipt};

/// How long an operation is tried that the platform does not take yet, before it counts as failed: platforms are out of
/// order for hours, and a reply of yesterday is hardly an answer.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many attempts an operation may have behind it for one on which the connector fails to be followed by another.
const MAX_ATTEMPTS: u32 = 20;
/// Pause before an operation on which the connector failed is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// Pause before an operation whose outcome is unknown is sent once more.
const AFTER_UNKNOWN: Duration = Duration::from_secs(1);

/// Commits what a step says in one transaction; only then lets its commands go out. Answers whether anything came
/// of it that the outside has noticed.
pub(super) async fn commit(
    pump: &mut Pump<'_>,
    batch: &[wire::Event],
    step: wire::Step,
) -> ControlFlow<(), bool> {
    let wire::Step { commands, state } = step;
    let name = pump.code.setup.name.clone();
    let state = state.map(|bytes| pump.code.next_state(bytes));
    let max_turns = pump.parts.config.current().agent.max_turns;
    let interrupts = pump.code.setup.interrupts;
    let mut commit =
        StepCommit { channel: name, state: state.clone(), max_turns, interrupts, ..StepCommit::default() };
    let (now, mut effects) = (pump.parts.clock.now(), Vec::new());
    for command in commands {
        match command {
            wire::Command::Deliver(inbound) => {
                commit.inbound.push(exchange::received(&pump.code.setup.name, &pump.work.blobs, inbound))
            }
            wire::Command::Done(done) => {
                if let Some(entry) = pump.work.outbound.at_work(&done.id) {
                    let outcome = settle(pump, entry, done.outcome);
                    commit.outcomes.push((done.id, outcome));
                } else if let Some(shown) = pump.work.streams.settle(&done.id, &done.outcome, now) {
                    commit.streams.push((shown.turn.clone(), Some(shown)));
                }
            }
            effect => effects.push(effect),
        }
    }
    commit.dispatched = dispatched(pump, batch, &commit);
    commit.streams.extend(pump.forgotten.drain(..).map(|turn| (turn, None)));
    let told = effects.iter().any(|effect| tells(effect, batch));
    let lasting = !commit.inbound.is_empty() || !commit.streams.is_empty();
    let busy = lasting || pump.work.outbound.is_at_work() || told;
    commit.replayable = pump.code.is_replayed() && !busy;
    let outcomes = commit.outcomes.clone();
    let committed = lasting || !outcomes.is_empty() || !commit.dispatched.is_empty();
    let outside = committed || effects.iter().any(reaches_out);
    let mut receipt = match write(pump, commit).await {
        Ok(receipt) => receipt,
        Err(error) => return pump.broken(&error).map_continue(|()| outside),
    };
    if let Some(state) = state {
        pump.code.set_state(state);
    }
    for (id, outcome) in outcomes {
        let entry = receipt.outbox.remove(&id).flatten();
        finish(pump, &id, &outcome, entry);
    }
    for (id, entry) in receipt.outbox {
        pump.work.outbound.dispatched(&id, entry);
    }
    for effect in effects {
        apply(pump, effect);
    }
    pump.expect_retry();
    ControlFlow::Continue(outside)
}

/// Whether the outside notices a command, so that it can't be undone.
fn reaches_out(command: &wire::Command) -> bool {
    use wire::Command as C;
    !matches!(command, C::Status(_) | C::Proof(_) | C::Log(_) | C::Timer(_))
}

/// Gives up on an event that the connector can't handle. An operation goes back to the outbox.
pub(super) async fn put_aside(
    pump: &mut Pump<'_>,
    batch: &[wire::Event],
    failure: &CallError,
) -> ControlFlow<()> {
    for event in batch {
        if let wire::Event::Webhook(webhook) = event {
            pump.work.webhooks.forget(webhook.token);
        }
        let wire::Event::Outbound(operation) = event else { continue };
        let unknown = wire::Outcome::Unknown(String::new());
        pump.work.streams.settle(&operation.id, &unknown, pump.parts.clock.now());
        if let Some(entry) = pump.work.outbound.at_work(&operation.id) {
            let outcome = match entry.attempt {
                MAX_ATTEMPTS.. => {
                    OutboxOutcome::Failed { reason: format!("the connector failed: {failure}") }
                }
                _ => OutboxOutcome::Retry { after: AFTER_FAILURE, maybe_duplicate: false },
            };
            conclude(pump, operation.id.clone(), outcome).await?;
        }
    }
    ControlFlow::Continue(())
}

/// Ends an operation that can't even be handed to the connector.
pub(super) async fn refuse(pump: &mut Pump<'_>, id: String, reason: String) -> ControlFlow<()> {
    conclude(pump, id, OutboxOutcome::Failed { reason }).await
}

/// An attempt at an operation ends without its connector.
async fn conclude(pump: &mut Pump<'_>, id: String, outcome: OutboxOutcome) -> ControlFlow<()> {
    let (channel, dispatched) = (pump.code.setup.name.clone(), vec![id.clone()]);
    let outcomes = vec![(id.clone(), outcome.clone())];
    let commit = StepCommit { channel, dispatched, outcomes, ..StepCommit::default() };
    let entry = match write(pump, commit).await {
        Ok(mut receipt) => receipt.outbox.remove(&id).flatten(),
        Err(error) => return pump.broken(&error),
    };
    finish(pump, &id, &outcome, entry);
    ControlFlow::Continue(())
}

/// Fresh randomness for one call.
pub(super) fn seed() -> u64 {
    getrandom::u64().unwrap_or_default()
}

/// The operations of this batch that may reach the platform from here on.
fn dispatched(pump: &Pump<'_>, batch: &[wire::Event], commit: &StepCommit) -> Vec<String> {
    let id = |event: &wire::Event| match event {
        wire::Event::Outbound(operation) => Some(operation.id.clone()),
        _ => None,
    };
    let waiting = |id: &String| {
        pump.work.outbound.at_work(id).is_some() && !commit.outcomes.iter().any(|(done, _)| done == id)
    };
    batch.iter().filter_map(id).filter(waiting).collect()
}

/// Whether a platform may act on this so that it does not say again what led to it: it gets an answer, or a frame, or
/// what it said on a socket made the connection.
fn tells(effect: &wire::Command, batch: &[wire::Event]) -> bool {
    match effect {
        wire::Command::WebhookReply(_) | wire::Command::WsSend(_) => true,
        wire::Command::Status(wire::Status::Connected) => {
            batch.iter().any(|event| matches!(event, wire::Event::WsText(_) | wire::Event::WsBinary(_)))
        }
        _ => false,
    }
}

/// Commits a step. Returns its outbox entries as they are now.
async fn write(pump: &mut Pump<'_>, commit: StepCommit) -> Result<StepReceipt, Error> {
    if commit.is_empty() {
        return Ok(StepReceipt::default());
    }
    let heard = !commit.inbound.is_empty();
    let receipt = pump.parts.store.commit_step(commit).await?;
    if receipt.duplicates > 0 {
        debug!(count = receipt.duplicates, "messages that had come before were left out");
    }
    if heard {
        let now = pump.parts.clock.now();
        pump.told.health.send_modify(|health| health.last.message_at = Some(now));
    }
    Ok(receipt)
}

fn settle(pump: &Pump<'_>, entry: &OutboxEntry, outcome: wire::Outcome) -> OutboxOutcome {
    let on_unknown = pump.code.setup.on_unknown;
    let edits = pump.shows(entry);
    match outcome {
        wire::Outcome::Ok(platform_id) => OutboxOutcome::Sent { platform_id },
        wire::Outcome::RetryAfter(ms) => {
            later(entry, pump.parts.clock.now(), Duration::from_millis(ms.into()))
        }
        // An edit that can't be made makes way for a message of its own.
        wire::Outcome::Refused(_) | wire::Outcome::Unsupported if edits => {
            OutboxOutcome::Instead { operation: entry.operation.clone() }
        }
        // Where the connector can't say, its platform can't either, whatever it takes only once.
        wire::Outcome::Unknown(reason) if on_unknown == OnUnknown::Drop || entry.maybe_duplicate => {
            OutboxOutcome::Failed { reason: format!("outcome unknown: {reason}") }
        }
        wire::Outcome::Unknown(_) => OutboxOutcome::Retry { after: AFTER_UNKNOWN, maybe_duplicate: true },
        wire::Outcome::Unsupported => match exchange::next_best(&entry.operation) {
            Some(operation) => OutboxOutcome::Instead { operation },
            None if exchange::describe(&entry.operation).0 == "send" => {
                OutboxOutcome::Failed { reason: "the channel can't send this".into() }
            }
            // A courtesy that the platform does not know.
            None => OutboxOutcome::Sent { platform_id: None },
        },
        wire::Outcome::Refused(reason) => OutboxOutcome::Failed { reason },
    }
}

/// An operation that the platform does not take yet is tried again, but not for ever.
fn later(entry: &OutboxEntry, now: Timestamp, after: Duration) -> OutboxOutcome {
    if entry.vain_since.is_some_and(|since| now.duration_since(since).unsigned_abs() >= PATIENCE) {
        let hours = PATIENCE.as_secs() / 3600;
        return OutboxOutcome::Failed { reason: format!("the platform has not taken it for {hours} hours") };
    }
    OutboxOutcome::Retry { after, maybe_duplicate: false }
}

/// An attempt at an operation has ended; `after` is its entry as the outbox has it now.
fn finish(pump: &mut Pump<'_>, id: &str, outcome: &OutboxOutcome, after: Option<OutboxEntry>) {
    let retried = matches!(outcome, OutboxOutcome::Retry { .. });
    let before = pump.work.outbound.at_work(id).filter(|_| !retried).cloned();
    pump.work.outbound.finish(id, after);
    if let Some(before) = before {
        pump.replaced(&before, matches!(outcome, OutboxOutcome::Instead { .. }));
    }
    match outcome {
        OutboxOutcome::Sent { .. } => {
            let now = pump.parts.clock.now();
            pump.told.health.send_modify(|health| health.last.sent_at = Some(now));
        }
        OutboxOutcome::Instead { .. } => debug!(id, "an operation is done in another way"),
        OutboxOutcome::Retry { after, maybe_duplicate } => {
            debug!(id, ?after, maybe_duplicate, "an operation is tried again");
            pump.work.timers.set(Alarm::Outbound(id.into()), *after);
        }
        OutboxOutcome::Failed { reason } => {
            error!(id, reason, "an operation failed; it is kept among the dead letters");
        }
    }
}

/// What a command does outside, now that what it follows from is on disk.
fn apply(pump: &mut Pump<'_>, command: wire::Command) {
    match command {
        wire::Command::Http(request) => pump.work.requests.start(request, pump.code.setup.policy.clone()),
        wire::Command::Cancel(token) => {
            pump.work.requests.cancel(token);
            pump.work.sockets.cancel(token);
            pump.work.timers.cancel(&Alarm::Connector(token));
        }
        wire::Command::Timer((token, ms)) => {
            pump.work.timers.set(Alarm::Connector(token), Duration::from_millis(ms.into()));
        }
        wire::Command::Status(status) => match status {
            wire::Status::Connecting => pump.connecting(),
            wire::Status::Connected => pump.set_state(State::Connected, None),
            wire::Status::Reconnecting(reason) => pump.set_state(State::Reconnecting, Some(reason)),
            wire::Status::Failed(reason) => pump.set_state(State::Disconnected, Some(reason)),
        },
        wire::Command::Proof(proof) => {
            let latency = proof.latency_ms.map(|ms| Duration::from_millis(ms.into()));
            pump.heard(Duration::from_millis(proof.good_for_ms.into()), latency);
        }
        wire::Command::Log((level, message)) => log(pump, level, &message),
        wire::Command::WsConnect(_) | wire::Command::WsSend(_) | wire::Command::WsKeepalive(_) => {
            pump.converse(command);
        }
        wire::Command::WsClose((socket, code)) => pump.work.sockets.close(socket, code),
        wire::Command::WebhookReply((token, reply)) => pump.work.webhooks.reply(token, reply),
        // These are part of the commit.
        wire::Command::Deliver(_) | wire::Command::Done(_) => {}
    }
}

/// A line of the connector's, no more of them than any plugin may write.
fn log(pump: &Pump<'_>, level: wire::LogLevel, message: &str) {
    let level = match level {
        wire::LogLevel::Trace => Level::Trace,
        wire::LogLevel::Debug => Level::Debug,
        wire::LogLevel::Info => Level::Info,
        wire::LogLevel::Warn => Level::Warn,
        wire::LogLevel::Error => Level::Error,
    };
    let module = module(&pump.code.setup.name);
    pump.code.generation.code.journal().write_as(&module, level, message);
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
        };
        let (after, hour) = (Duration::from_secs(9), Duration::from_secs(3600));
        let again = OutboxOutcome::Retry { after, maybe_duplicate: false };
        assert_eq!(later(&entry, now + 1_000 * hour, after), again, "the first time in vain");
        entry.vain_since = Some(now);
        assert_eq!(later(&entry, now + 23 * hour, after), again);
        let OutboxOutcome::Failed { reason } = later(&entry, now + 24 * hour, after) else {
            panic!("given up")
        };
        assert!(reason.contains("24 hours"), "{reason}");
    }
}
