//! A step of the connector: one commit, and then its commands.

use std::ops::ControlFlow;
use std::time::Duration;

use tracing::{debug, error};

use super::component::Component;
use super::health::State;
use super::input::TimerKey;
use super::log;
use super::plan::Plan;
use super::pump::Pump;
use prx_base::error::Error;
use prx_host::CallError;
use prx_host::bindings::connector as wire;
use prx_store::{OutboxEntry, OutboxOutcome, StepCommit, StepReceipt};

/// Attempts at an operation on which the connector fails, before it becomes a dead letter.
const MAX_ATTEMPTS: u32 = 20;
/// Backoff before an operation on which the connector failed is retried, in seconds.
const FAILURE_RETRY_DELAY: Duration = Duration::from_secs(30);

/// Commits a step, then carries out its commands, as [`Plan`] says. Returns whether anything came of it that the
/// outside has noticed.
pub(super) async fn commit(
    pump: &mut Pump<'_>,
    batch: &[wire::Event],
    step: wire::Step,
) -> ControlFlow<(), bool> {
    let plan = Plan::new(pump, batch, step);
    let visible = plan.is_visible();
    let Plan { commit, commands } = plan;
    let state = commit.state.clone();
    let outcomes = commit.outcomes.clone();
    let mut receipt = match write(pump, commit).await {
        Ok(receipt) => receipt,
        Err(error) => return pump.store_failed(&error),
    };
    if let Some(state) = state {
        pump.component.set_state(state);
    }
    for (id, outcome) in outcomes {
        let entry = receipt.outbox.remove(&id).flatten();
        finish(pump, &id, &outcome, entry);
    }
    for (id, entry) in receipt.outbox {
        pump.work.outbound.dispatched(&id, entry);
    }
    for command in commands {
        carry_out(pump, command);
    }
    pump.publish_next_retry();
    ControlFlow::Continue(visible)
}

/// Skips events that the connector can't handle. An operation is retried later, or becomes a dead letter after its
/// last attempt.
pub(super) async fn skip(pump: &mut Pump<'_>, batch: &[wire::Event], failure: &CallError) -> ControlFlow<()> {
    for event in batch {
        if let wire::Event::Webhook(webhook) = event {
            pump.work.webhooks.drop_reply(webhook.token);
        }
        let wire::Event::Outbound(operation) = event else { continue };
        let unknown = wire::Outcome::Unknown(String::new());
        pump.work.live_replies.settle(&operation.id, &unknown, pump.services.base.clock.now());
        if let Some(entry) = pump.work.outbound.at_work(&operation.id) {
            let outcome = match entry.attempt {
                MAX_ATTEMPTS.. => {
                    OutboxOutcome::Failed { reason: format!("the connector failed: {failure}") }
                }
                _ => OutboxOutcome::Retry { after: FAILURE_RETRY_DELAY, maybe_duplicate: false },
            };
            conclude(pump, operation.id.clone(), outcome).await?;
        }
    }
    ControlFlow::Continue(())
}

/// Makes a dead letter of an operation that can't even be handed to the connector.
pub(super) async fn fail(pump: &mut Pump<'_>, id: String, reason: String) -> ControlFlow<()> {
    conclude(pump, id, OutboxOutcome::Failed { reason }).await
}

/// Commits the outcome of an attempt at an operation that the connector has not reported.
async fn conclude(pump: &mut Pump<'_>, id: String, outcome: OutboxOutcome) -> ControlFlow<()> {
    let (channel, dispatched) = (pump.component.setup.name.clone(), vec![id.clone()]);
    let outcomes = vec![(id.clone(), outcome.clone())];
    let commit = StepCommit { channel, dispatched, outcomes, ..StepCommit::default() };
    let entry = match write(pump, commit).await {
        Ok(mut receipt) => receipt.outbox.remove(&id).flatten(),
        Err(error) => return pump.store_failed(&error),
    };
    finish(pump, &id, &outcome, entry);
    ControlFlow::Continue(())
}

/// Commits a step. Returns its outbox entries as they are now.
async fn write(pump: &mut Pump<'_>, commit: StepCommit) -> Result<StepReceipt, Error> {
    if commit.is_empty() {
        return Ok(StepReceipt::default());
    }
    let heard = !commit.inbound.is_empty();
    let receipt = pump.services.store.commit_step(commit).await?;
    if receipt.duplicates > 0 {
        debug!(count = receipt.duplicates, "messages that had come before were left out");
    }
    if heard {
        let now = pump.services.base.clock.now();
        pump.status.health.send_modify(|health| health.last.message_at = Some(now));
    }
    Ok(receipt)
}

/// An attempt at an operation has ended; `after` is its entry as the outbox has it now.
fn finish(pump: &mut Pump<'_>, id: &str, outcome: &OutboxOutcome, after: Option<OutboxEntry>) {
    let retried = matches!(outcome, OutboxOutcome::Retry { .. });
    let before = pump.work.outbound.at_work(id).filter(|_| !retried).cloned();
    pump.work.outbound.finish(id, outcome, after);
    if let Some(before) = before {
        pump.end_live_reply(&before, matches!(outcome, OutboxOutcome::Instead { .. }));
    }
    let now = pump.services.base.clock.now();
    match outcome {
        OutboxOutcome::Sent { .. } => {
            pump.status.health.send_modify(|health| health.sent(now));
        }
        OutboxOutcome::Instead { .. } => debug!(id, "an operation is done in another way"),
        OutboxOutcome::Retry { after, maybe_duplicate } => {
            debug!(id, ?after, maybe_duplicate, "an operation is tried again");
            pump.status.health.send_modify(|health| health.postpone(*after, now));
            pump.work.timers.set(TimerKey::OutboundRetry(id.into()), *after);
        }
        OutboxOutcome::Failed { reason } => {
            error!(id, reason, "an operation failed; it is kept among the dead letters");
            pump.status.health.send_modify(|health| health.give_up(reason, now));
        }
    }
}

/// Carries out a command, now that what it follows from is committed.
fn carry_out(pump: &mut Pump<'_>, command: wire::Command) {
    let policy = pump.component.setup.policy.clone();
    match command {
        wire::Command::Http(request) => pump.work.requests.start(request, policy),
        wire::Command::Cancel(token) => {
            pump.work.requests.cancel(token);
            pump.work.sockets.cancel(token);
            pump.work.timers.cancel(&TimerKey::Connector(token));
        }
        wire::Command::Timer((token, ms)) => {
            pump.work.timers.set(TimerKey::Connector(token), Duration::from_millis(ms.into()));
        }
        wire::Command::Status(status) => match status {
            wire::Status::Connecting => pump.report_connecting(),
            wire::Status::Connected => pump.set_state(State::Connected, None),
            wire::Status::Reconnecting(reason) => pump.set_state(State::Reconnecting, Some(reason)),
            wire::Status::Failed(reason) => pump.set_state(State::Disconnected, Some(reason)),
        },
        wire::Command::Proof(proof) => {
            let latency = proof.latency_ms.map(|ms| Duration::from_millis(ms.into()));
            pump.record_proof(Duration::from_millis(proof.good_for_ms.into()), latency);
        }
        wire::Command::Log((level, message)) => {
            let Component { setup, generation, .. } = &pump.component;
            log::write(&setup.name, generation, level, &message);
        }
        // A socket that a command ends is reported like any that ends by itself.
        wire::Command::WsConnect(asked) => {
            pump.queue.extend(pump.work.sockets.connect(asked, policy));
        }
        wire::Command::WsSend((socket, frame)) => {
            pump.queue.extend(pump.work.sockets.send(socket, frame, policy));
        }
        wire::Command::WsKeepalive((socket, asked)) => {
            pump.queue.extend(pump.work.sockets.keep_alive(socket, asked, &policy));
        }
        wire::Command::WsClose((socket, code)) => pump.work.sockets.close(socket, code),
        wire::Command::WebhookReply((token, reply)) => pump.work.webhooks.reply(token, reply),
        // These are part of the commit.
        wire::Command::Deliver(_) | wire::Command::Overhear(_) | wire::Command::Done(_) => {}
    }
}
