//! One channel at work: events in, steps committed, commands out. Events are handled in order, nothing is locked
//! while the platform is waited for, and nothing goes out before what it follows from is on disk.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::error;

use super::control::{Control, Exit};
use super::convert;
use super::health::State;
use super::input::{Input, TimerKey};
use super::pump::Pump;
use super::socket::INTERRUPTED;
use super::sockets::Received;
use super::{quota, step};
use prx_host::bindings::connector as wire;
use prx_host::{CallError, Generation};

/// Events handled in one call at most.
const MAX_BATCH: usize = 64;
/// Attempts at an event that makes the connector fail.
const MAX_ATTEMPTS: u32 = 2;
/// Backoff after the connector failed on an event for good, in seconds.
const FAILURE_BACKOFF: Duration = Duration::from_secs(5);
/// The share of `gateway.stop_secs` that a channel in shutdown waits for operations in flight. It is less than all that
/// closing channels may take.
const DRAIN_SHARE: f64 = 0.2;
/// Close code for the sockets that a disabled channel leaves open: normal closure.
const NORMAL: u16 = 1000;

impl Pump<'_> {
    /// Runs until something ends this run.
    pub(super) async fn run(
        &mut self,
        inputs: &mut mpsc::Receiver<Input>,
        control: &mut mpsc::Receiver<Control>,
        code: &mut watch::Receiver<Option<Arc<Generation>>>,
    ) -> Exit {
        let mut woken = Vec::new();
        self.start_watchdog();
        if self.fill_outbound().is_break() || self.restore_live_replies().is_break() {
            return Exit::StoreFailed;
        }
        loop {
            if self.queue_outbound().await.is_break() {
                return Exit::StoreFailed;
            }
            if self.queue.is_empty() {
                tokio::select! {
                    biased;
                    asked = control.recv() => return Exit::Requested(asked.unwrap_or(Control::Stop)),
                    changed = code.changed() => if changed.is_err() { return Exit::CodeGone },
                    _ = inputs.recv_many(&mut woken, MAX_BATCH) => {}
                }
            } else if let Ok(asked) = control.try_recv() {
                return Exit::Requested(asked);
            }
            while let Ok(input) = inputs.try_recv() {
                woken.push(input);
                if woken.len() >= MAX_BATCH {
                    break;
                }
            }
            // Before anything else can end this run: what came in comes only once.
            for input in woken.drain(..) {
                if self.accept(input).is_break() {
                    return Exit::StoreFailed;
                }
            }
            let serving = code.borrow_and_update().clone();
            let Some(serving) = serving else { return Exit::CodeGone };
            if self.swap(serving, inputs).await.is_break() {
                return Exit::StoreFailed;
            }
            if self.silent {
                return Exit::Silent;
            }
            if !self.queue.is_empty() && self.step().await.is_break() {
                return Exit::StoreFailed;
            }
            self.work.sockets.release_handled(&self.queue);
        }
    }

    /// Waits until the operations in flight have their outcomes, or for a timeout, and begins nothing new.
    pub(super) async fn drain(&mut self, inputs: &mut mpsc::Receiver<Input>) {
        let clock = self.services.base.clock.clone();
        let timeout = self.services.base.config.current().gateway.stop_share(DRAIN_SHARE);
        let mut deadline = pin!(clock.sleep(timeout));
        while self.work.outbound.is_at_work() || self.work.live_replies.is_any_pending() {
            if self.queue.is_empty() {
                let input = tokio::select! {
                    input = inputs.recv() => input,
                    () = &mut deadline => return,
                };
                if input.is_none_or(|input| self.accept(input).is_break()) {
                    return;
                }
            }
            if !self.queue.is_empty() && self.step().await.is_break() {
                return;
            }
        }
    }

    /// Lets the connector close politely, and ends everything that is pending.
    pub(super) async fn shut_down(&mut self, last: bool) {
        let stopping = wire::Event::Stopping(wire::Stopping { final_: last });
        if let Ok(step) = self.call(&[stopping]).await {
            let _ = step::commit(self, &[], step).await;
        }
        self.end(if last { NORMAL } else { INTERRUPTED }).await;
    }

    /// Ends everything that is pending as a crash would: nothing more can be committed.
    pub(super) async fn cut_off(&mut self) {
        self.end(INTERRUPTED).await;
    }

    async fn end(&mut self, close_code: u16) {
        self.work.timers.clear();
        self.work.sockets.close_all(close_code).await;
        self.work.requests.abort_all().await;
    }

    /// Takes in what came from outside: most of it is an event for the connector.
    fn accept(&mut self, input: Input) -> ControlFlow<()> {
        match input {
            Input::Http(done) => {
                if self.work.requests.finish(done.token) {
                    self.queue.push_back(wire::Event::HttpDone(done));
                }
            }
            Input::Socket(socket, event) => {
                if let Some(Received { event, acknowledged }) = self.work.sockets.accept(socket, event) {
                    self.queue.push_back(event);
                    if let Some(heartbeat) = acknowledged {
                        self.record_proof(heartbeat.good_for, Some(heartbeat.after));
                    }
                }
            }
            Input::Webhook(request) => self.queue.push_back(self.work.webhooks.accept(request)),
            Input::Timer(key, count) => {
                if self.work.timers.take_fired(&key, count) {
                    return self.timer_fired(key);
                }
            }
            Input::Outbox => return self.fill_outbound(),
            Input::Activity(activity) => {
                if let Some(turn) = self.work.live_replies.begin(&activity, self.services.base.clock.now()) {
                    return self.update_live_reply(turn);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn timer_fired(&mut self, key: TimerKey) -> ControlFlow<()> {
        match key {
            TimerKey::Connector(token) => self.queue.push_back(wire::Event::Timer(token)),
            // The entry is due now, and is taken with the rest.
            TimerKey::OutboundRetry(_) => {}
            TimerKey::FailureBackoff => self.resume(),
            TimerKey::ProbationEnd => self.component.end_probation(),
            TimerKey::Watchdog => self.silent = self.check_silence(),
            TimerKey::LiveReply(turn) => return self.update_live_reply(turn),
        }
        ControlFlow::Continue(())
    }

    /// Queues what the platform is to be asked for next.
    async fn queue_outbound(&mut self) -> ControlFlow<()> {
        if self.work.outbound.can_read_on() {
            self.fill_outbound()?;
        }
        let live = &self.work.live_replies;
        let now = self.services.base.clock.now();
        let ready = self.work.outbound.take_ready(now, |place| live.is_pending_in(place));
        for entry in ready {
            let id = entry.id.clone();
            let shown = entry.turn.as_ref().and_then(|turn| self.work.live_replies.message(turn));
            let doubtful = entry.turn.as_ref().is_some_and(|turn| self.work.live_replies.is_doubtful(turn));
            match convert::outbound(&self.work.blobs, entry.clone(), shown) {
                Ok(mut operation) => {
                    operation.maybe_duplicate |= doubtful;
                    self.queue.push_back(wire::Event::Outbound(operation));
                }
                Err(error) => step::fail(self, id, format!("the entry can't be read: {error}")).await?,
            }
        }
        ControlFlow::Continue(())
    }

    /// Handles what is queued, as one call and one commit.
    async fn step(&mut self) -> ControlFlow<()> {
        let size = if self.failures.isolated > 0 { 1 } else { self.queue.len().min(MAX_BATCH) };
        let batch: Vec<wire::Event> = self.queue.drain(..size).collect();
        match self.call(&batch).await.and_then(|step| quota::check(&self.work, step)) {
            Ok(step) => {
                self.services.plugins.report(&self.component.generation, Ok(()));
                self.failures.isolated = self.failures.isolated.saturating_sub(batch.len());
                self.failures.attempts = 0;
                let visible = step::commit(self, &batch, step).await?;
                self.record_step(batch, visible);
                ControlFlow::Continue(())
            }
            Err(failure) => self.recover(batch, failure).await,
        }
    }

    async fn call(&mut self, events: &[wire::Event]) -> Result<wire::Step, CallError> {
        let context = wire::Context {
            channel: self.component.setup.name.clone(),
            now: self.services.base.clock.now_ms(),
            seed: getrandom::u64().unwrap_or_default(),
            config: self.component.setup.config.clone(),
        };
        self.component.handle(&context, events).await
    }

    /// The code failed on these events. They are retried: by the code before if this one is on probation, else one by
    /// one. What fails even alone is skipped after its last attempt, and nothing else waits for it.
    async fn recover(&mut self, batch: Vec<wire::Event>, failure: CallError) -> ControlFlow<()> {
        if self.component.previous().is_some() {
            let (failed, size) = (self.component.generation.clone(), batch.len());
            self.requeue(batch);
            self.services.plugins.report(&failed, Err(&failure));
            if !self.roll_back(&failure.to_string()).await? {
                self.failures.isolated = size;
            }
            return ControlFlow::Continue(());
        }
        self.services.plugins.report(&self.component.generation, Err(&failure));
        if batch.len() > 1 {
            self.failures.isolated = batch.len();
            self.requeue(batch);
            return ControlFlow::Continue(());
        }
        self.failures.attempts += 1;
        if self.failures.attempts < MAX_ATTEMPTS {
            self.failures.isolated = self.failures.isolated.max(1);
            self.requeue(batch);
            return ControlFlow::Continue(());
        }
        self.failures.attempts = 0;
        self.failures.isolated = self.failures.isolated.saturating_sub(1);
        error!(%failure, "the connector failed on an event; it is put aside");
        self.set_state(State::Reconnecting, Some(format!("the connector failed: {failure}")));
        self.work.timers.set(TimerKey::FailureBackoff, FAILURE_BACKOFF);
        step::skip(self, &batch, &failure).await
    }
}
