//! Runs the turns in the store: one at a time in each session, in order, many sessions side by side. A turn is on disk
//! before it begins and until its reply is, so whatever cuts it off, it is taken up again: retried after a backoff, and
//! by the next process after a shutdown or a crash.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span};

use super::failure::{TurnFailure, session_ended, session_terminated};
use super::filtering;
use super::provider_health::ProviderHealth;
use super::reply;
use super::stream::{Listeners, TurnStream};
use super::tool::Tools;
use super::turn;
use super::windows::Windows;
use super::work::{Services, Work};
use super::work_timer::WorkTimer;
use super::workers::{Wakeup, Workers};
use prx_base::Base;
use prx_base::error::{Code, Error, Result};
use prx_base::meter::{OTHER, TurnEnd};
use prx_base::traces::{Span, TraceContext};
use prx_host::Plugins;
use prx_host::bindings::filter::StageKind;
use prx_host::memory::Memory;
use prx_store::{MAX_ATTEMPTS, NewExchange, Parked, Store, Turn, TurnId, TurnState};

/// How many turns run at the same time. Most of them wait: for a model, a tool or a person.
const MAX_CONCURRENT_TURNS: usize = 256;

/// How long turns wait after the start for MCP servers that were never tried: 5 seconds.
const MCP_STARTUP_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is looked whether turns have ended: every 20 milliseconds.
const END_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The backoff before the second attempt at a turn, 0.5 seconds. It doubles with each further attempt.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);

/// A cheap-clone handle to the turn loop.
#[derive(Clone)]
pub struct Turns {
    services: Services,
    listeners: Listeners,
    /// The sessions whose turns are being run.
    workers: Workers,
    /// A permit for each session that may run a turn now. Closed when no further turn is to begin.
    permits: Arc<Semaphore>,
    /// What a shutdown waits for.
    at_work: TaskTracker,
    shutdown: CancellationToken,
    /// Cancelled when turns are worked on no more. What they called is ended next, which is no result of theirs.
    cut_off: CancellationToken,
}

impl Turns {
    /// Starts the loop: from here on every turn in the store is run, those an earlier process left first.
    pub fn start(base: Base, store: Store, plugins: Plugins, tools: Tools, memory: Memory) -> Self {
        let (provider_health, windows) = (ProviderHealth::default(), Windows::default());
        let turns = Self {
            services: Services { base, store, plugins, tools, memory, provider_health, windows },
            listeners: Listeners::default(),
            workers: Workers::default(),
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT_TURNS)),
            at_work: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            cut_off: CancellationToken::new(),
        };
        tokio::spawn(turns.clone().dispatch());
        tokio::spawn(turns.clone().wake_workers());
        tokio::spawn(turns.clone().sweep());
        turns
    }

    /// Adds a message to a session, and returns what its turn says, as it is said. The turn is part of the caller's trace.
    ///
    /// # Errors
    /// There is no such session, or it is terminated: `details.next_session` is then the one that goes on from there.
    pub async fn submit(
        &self,
        session: &str,
        content: String,
        trace: Option<TraceContext>,
    ) -> Result<TurnStream> {
        let store = &self.services.store;
        let message = store.new_message_id();
        let stream = self.listeners.listen(&message, trace);
        match store.accept_message(session, message, content).await {
            Ok(_) => Ok(stream),
            Err(error) if error.code() == Code::Conflict => {
                Err(session_ended(session, &store.next_session(session).await?))
            }
            Err(error) => Err(error),
        }
    }

    /// Has a turn begin for a program's caller, as part of the caller's trace, and returns what it says, as it is said, and
    /// its name.
    ///
    /// # Errors
    /// There is no such session, or it is terminated.
    pub async fn submit_exchange(
        &self,
        session: &str,
        mut new: NewExchange,
        trace: Option<TraceContext>,
    ) -> Result<(TurnStream, TurnId)> {
        filtering::history(&self.services, session, &mut new.history).await?;
        let stream = self.listeners.listen(&new.id, trace);
        let turn = self.services.store.accept_exchange(session, new).await?;
        Ok((stream, turn.id()))
    }

    /// Cancels the turn at work in a session, or the next one: it ends with what it has said so far. False: there is none.
    ///
    /// # Errors
    /// There is no such session, or it is terminated.
    pub async fn cancel(&self, session: &str) -> Result<bool> {
        self.services.store.stop_turn(session).await
    }

    /// Ends a session: the turn at work, and those that wait. Whoever waits for one of them is told.
    ///
    /// # Errors
    /// There is no such session, or it is terminated already.
    pub async fn end_session(&self, session: &str) -> Result<()> {
        for message in self.services.store.terminate_session(session).await? {
            self.listeners.done(&message, Err(session_terminated(session)));
        }
        Ok(())
    }

    /// Waits until no turn of these sessions is at work any more, or so long. They are to be ended before.
    pub async fn wait_for_end(&self, sessions: &[String], timeout: Duration) {
        let clock = &self.services.base.clock;
        let ended = async {
            while self.workers.sessions().iter().any(|session| sessions.contains(session)) {
                clock.sleep(END_POLL_INTERVAL).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = clock.sleep(timeout) => info!("turns of sessions that were ended are still at work"),
        }
    }

    /// Why a provider gave no answer the last time; none if it did, or was not asked yet.
    pub fn provider_problem(&self, provider: &str) -> Option<String> {
        self.services.provider_health.problem(provider)
    }

    /// The window of a model in tokens, as its provider named it when it refused a conversation.
    pub fn learned_window(&self, provider: &str, model: &str) -> Option<u64> {
        self.services.windows.learned(provider, model)
    }

    /// Shuts down: begins no further turn, waits up to `timeout` for those at work, and leaves the rest to the next
    /// process, with those that only wait for a person.
    pub async fn stop(&self, timeout: Duration) {
        self.shutdown.cancel();
        self.permits.close();
        self.at_work.close();
        tokio::select! {
            () = self.at_work.wait() => {}
            () = self.services.base.clock.sleep(timeout) => {
                info!("turns are cut off; the next start takes them up again");
            }
        }
        let left = self.workers.sessions();
        self.cut_off.cancel();
        if !left.is_empty()
            && let Err(error) = self.services.store.excuse_turns(left).await
        {
            error!(%error, "the attempts at turns that are cut off count");
        }
        self.listeners.close();
    }

    /// Starts a worker for each session that has a turn to run.
    async fn dispatch(self) {
        // A turn that is taken up again would find the tools gone that it has called.
        self.services.tools.settled(MCP_STARTUP_TIMEOUT).await;
        let ready = self.services.store.turns_ready();
        loop {
            let session = ready.next().await;
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            let Some(wakeup) = self.workers.take(&session) else { continue };
            let turns = self.clone();
            let span = info_span!("turn", session_id = session);
            let timer = WorkTimer::new(&self.at_work);
            let work = async move {
                tokio::select! {
                    biased;
                    () = turns.cut_off.cancelled() => {}
                    () = turns.work(&session, wakeup, &timer) => {}
                }
                drop(permit);
            };
            tokio::spawn(work.instrument(span));
        }
    }

    /// Wakes the turns at work to which something was said.
    async fn wake_workers(self) {
        let told = self.services.store.notified_turns();
        loop {
            self.workers.wake(&told.next().await);
        }
    }

    /// Runs a session's turns, one after the other, until none waits.
    async fn work(&self, session: &str, wakeup: Wakeup, timer: &WorkTimer) {
        while !self.permits.is_closed() {
            match self.services.store.claim_turn(session).await {
                Ok(Some(turn)) => self.run(turn, wakeup.clone(), timer).await,
                Ok(None) => {
                    if self.workers.release(session) {
                        return;
                    }
                }
                Err(error) if !self.services.store.is_healthy() => self.wait_for_store(&error).await,
                Err(error) => {
                    error!(%error, "turns can't be read from the store");
                    self.workers.release(session);
                    return self.listeners.fail(&error);
                }
            }
        }
    }

    /// Waits until the store takes something again, or the gateway stops. Nobody else has to wait for that: what was said
    /// is on disk, and its answer will be there.
    async fn wait_for_store(&self, error: &Error) {
        if !self.services.store.is_healthy() {
            self.listeners.fail(error);
        }
        tokio::select! {
            () = self.services.store.recovered() => {}
            () = self.shutdown.cancelled() => {}
        }
    }

    /// Runs one turn to its end, or puts it back for another attempt.
    async fn run(&self, mut turn: Turn, wakeup: Wakeup, timer: &WorkTimer) {
        let is_held = self.services.tools.filters().applies(StageKind::Outbound);
        let reply = self.listeners.reply_stream(&turn.message.id, is_held);
        if let Some(activity) = reply::activity(&turn, &reply) {
            self.services.base.events.report_activity(activity);
        }
        let reopened = self.services.store.reopened();
        let agent = self.services.agent_of(&turn).map_or_else(|_| OTHER.to_owned(), |agent| agent.name);
        let mut span = self.span(&turn, &agent);
        let inspected = match turn.attempts > MAX_ATTEMPTS {
            // It is given up, and goes no further.
            true => Ok(None),
            false => filtering::inbound(&self.services, &mut turn).await,
        };
        let trace = span.context();
        let work = Work { services: &self.services, turn: &turn, reply: &reply, timer, wakeup, trace };
        let replied = match inspected {
            Ok(None) => turn::run(&work).await,
            Ok(Some(instead)) => turn::end_with(&work, instead).await,
            Err(error) => Err(error.into()),
        };
        drop(reply);
        let store_failed = !self.services.store.is_healthy() || reopened.has_changed().unwrap_or_default();
        match replied {
            Ok(message) => {
                let end = if message.stopped { TurnEnd::Stopped } else { TurnEnd::Completed };
                self.note_end(&turn, &agent, span, end);
                self.listeners.done(&turn.message.id, Ok(message));
            }
            Err(failure) if store_failed => {
                span.fail(failure.error.code().as_str());
                drop(span);
                info!(error = %failure.error, "the turn is taken up again when the store takes something");
                self.wait_for_store(&failure.error).await;
                // That attempt was no failure of it.
                if let Err(error) = self.services.store.excuse_turns(vec![turn.session.clone()]).await {
                    info!(%error, "the attempt counts");
                }
            }
            // Whoever waited was told when its session was ended.
            Err(_)
                if self.services.store.turn_state(&turn.id()).is_ok_and(|state| state == TurnState::Over) =>
            {
                self.note_end(&turn, &agent, span, TurnEnd::Ended);
                info!("the turn is over, with its session");
            }
            Err(failure) => {
                span.fail(failure.error.code().as_str());
                self.retry_or_park(&turn, &agent, span, failure).await;
            }
        }
    }

    /// A turn that could not end: retried after a backoff, or put aside with its reason.
    async fn retry_or_park(&self, turn: &Turn, agent: &str, span: Span, failure: TurnFailure) {
        if turn.attempts < failure.max_attempts {
            drop(span);
            info!(error = %failure.error, attempt = turn.attempts, "the turn is tried again");
            let backoff = FIRST_BACKOFF * (1 << turn.attempts.saturating_sub(1).min(5));
            self.services.base.clock.sleep(backoff).await;
            return;
        }
        error!(error = %failure.error, cause = ?std::error::Error::source(&failure.error), "the turn is put aside");
        let told = reply::apology(turn, span.context(), &failure, self.services.words(turn));
        let reason = failure.error.message().into();
        let parked = Parked { reason, said: failure.said, refused: failure.refused, told };
        match self.services.store.park_turn(&turn.id(), parked).await {
            Ok(()) => {
                self.note_end(turn, agent, span, TurnEnd::Failed);
                self.listeners.done(&turn.message.id, Err(failure.error));
            }
            Err(error) => self.listeners.done(&turn.message.id, Err(error)),
        }
    }

    /// The span of an attempt at a turn: from the arrival of its message, where it is the first one, until its reply is on
    /// disk.
    fn span(&self, turn: &Turn, agent: &str) -> Span {
        let Base { traces, clock, .. } = &self.services.base;
        let began = if turn.attempts > 1 { clock.now() } else { turn.message.created_at };
        let caller = self.listeners.trace(&turn.message.id);
        let mut span = traces.root(&turn.message.id, caller, began, || format!("invoke_agent {agent}"));
        span.set("gen_ai.operation.name", "invoke_agent");
        span.set("gen_ai.agent.name", agent);
        span.set("gen_ai.conversation.id", turn.session.as_str());
        let channel = turn.inbound.as_ref().map_or("api", |inbound| inbound.conversation.channel.as_str());
        span.set("prx.channel", channel);
        span.set("prx.turn.attempt", u64::from(turn.attempts));
        span
    }

    /// Counts a turn that has ended, before anyone is told of it.
    fn note_end(&self, turn: &Turn, agent: &str, mut span: Span, end: TurnEnd) {
        span.set("prx.turn.outcome", end.name());
        drop(span);
        let Base { clock, meter, .. } = &self.services.base;
        let took =
            Duration::try_from(clock.now().duration_since(turn.message.created_at)).unwrap_or_default();
        meter.turn_ended(agent, end, matches!(end, TurnEnd::Completed | TurnEnd::Stopped).then_some(took));
    }

    /// Lets sessions become idle, and idle ones end.
    async fn sweep(self) {
        loop {
            let agent = self.services.base.config.current().agent.clone();
            let idle = Duration::from_secs(agent.session_idle_secs);
            let timeout = Duration::from_secs(agent.session_timeout_secs);
            let pause = (idle.min(timeout) / 4).clamp(Duration::from_millis(250), Duration::from_secs(15));
            tokio::select! {
                () = self.services.base.clock.sleep(pause) => {}
                () = self.shutdown.cancelled() => return,
            }
            if let Err(error) = self.services.store.sweep_sessions(idle, timeout).await
                && self.services.store.is_healthy()
            {
                error!(%error, "sessions can't be swept");
            }
        }
    }
}
