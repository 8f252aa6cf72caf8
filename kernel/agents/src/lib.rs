//! Sessions at work: one turn at a time in each, in order, many sessions side by side. A turn is on disk before
//! it begins and until its reply is, so whatever cuts it off, it is taken up again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span};

use self::presence::Presence;
use self::standing::Standing;
use self::stream::{Listeners, Said};
pub use self::stream::{TurnEvent, TurnStream};
use self::turn::{Cut, run};
use self::workers::{Word, Workers};
use crate::tool::Tools;
use prx_base::clock::Clock;
use prx_base::config::Live;
use prx_base::error::{Code, Error, Result};
use prx_base::events::Events;
use prx_host::Plugins;
use prx_host::memory::Memory;
use prx_store::{Parked, Store, Turn, TurnState};

mod approval;
mod bounds;
mod budget;
mod calls;
mod completion;
mod context;
mod presence;
mod progress;
mod recall;
mod reply;
mod skills;
mod standing;
mod stream;
pub mod tool;
mod turn;
mod workers;

/// Turns that run at the same time. Most of them wait: for a model, a tool or a person.
const AT_ONCE: usize = 256;

/// How long after the start turns wait for MCP servers that were never tried.
const TOOLS_IN: Duration = Duration::from_secs(5);

/// What turns work with.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// The configuration in force.
    pub config: Live,
    /// The bus.
    pub events: Events,
    /// The disk.
    pub store: Store,
    /// Skills and providers.
    pub plugins: Plugins,
    /// Tools.
    pub tools: Tools,
    /// What is remembered of people.
    pub memory: Memory,
}

/// A cheap-clone handle to the turn loop.
#[derive(Clone)]
pub struct Turns {
    parts: Parts,
    listeners: Listeners,
    standing: Standing,
    busy: Workers,
    room: Arc<Semaphore>,
    workers: TaskTracker,
    closing: Arc<Notify>,
}

/// A turn at work, and what it works with.
struct Work<'a> {
    parts: &'a Parts,
    standing: &'a Standing,
    turn: &'a Turn,
    said: &'a Said,
    presence: &'a Presence,
    word: Word,
}

impl Turns {
    /// Starts the loop: from here on every turn in the store is run, those an earlier process left first.
    pub fn start(parts: Parts) -> Self {
        let turns = Self {
            parts,
            listeners: Listeners::default(),
            standing: Standing::default(),
            busy: Workers::default(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            workers: TaskTracker::new(),
            closing: Arc::default(),
        };
        tokio::spawn(turns.clone().dispatch());
        tokio::spawn(turns.clone().pass_on());
        tokio::spawn(turns.clone().sweep());
        turns
    }

    /// Adds a message to a session, and returns what its turn says, as it is said.
    ///
    /// # Errors
    /// There is no such session, or it is terminated.
    pub async fn submit(&self, session: &str, content: String) -> Result<TurnStream> {
        let message = self.parts.store.new_message_id();
        let stream = self.listeners.listen(&message);
        self.parts.store.accept_message(session, message, content).await?;
        Ok(stream)
    }

    /// Ends the turn at work in a session, or the next one, with what it has said so far. False: there is none.
    ///
    /// # Errors
    /// There is no such session, or it is terminated.
    pub async fn cancel(&self, session: &str) -> Result<bool> {
        self.parts.store.stop_turn(session).await
    }

    /// Ends a session: the turn at work, and those that wait. Whoever waits for one of them is told.
    ///
    /// # Errors
    /// There is no such session, or it is terminated already.
    pub async fn end_session(&self, session: &str) -> Result<()> {
        for message in self.parts.store.terminate_session(session).await? {
            self.listeners.done(&message, Err(session_gone(session)));
        }
        Ok(())
    }

    /// Why a provider gave no answer the last time; none if it did, or was not asked yet.
    pub fn provider_problem(&self, provider: &str) -> Option<String> {
        self.standing.problem(provider)
    }

    /// Takes no new turns, waits for those at work as long as `patience` lasts, and leaves the rest to the next
    /// process, with those that only wait for a person.
    pub async fn stop(&self, patience: Duration) {
        self.closing.notify_waiters();
        self.room.close();
        self.workers.close();
        tokio::select! {
            () = self.workers.wait() => {}
            () = self.parts.clock.sleep(patience) => info!("turns are cut off; the next start takes them up again"),
        }
        let cut_off = self.busy.sessions();
        if !cut_off.is_empty()
            && let Err(error) = self.parts.store.excuse_turns(cut_off).await
        {
            error!(%error, "the attempts at turns that are cut off count");
        }
        self.listeners.close();
    }

    async fn dispatch(self) {
        // A turn that is taken up again would find the tools gone that it has called.
        self.parts.tools.settled(TOOLS_IN).await;
        let ready = self.parts.store.turns_ready();
        loop {
            let session = ready.next().await;
            let Ok(permit) = self.room.clone().acquire_owned().await else { return };
            let Some(word) = self.busy.take(&session) else { continue };
            let turns = self.clone();
            let span = info_span!("turn", session_id = session);
            let presence = Presence::new(&self.workers);
            let work = async move {
                turns.work(&session, word, &presence).await;
                drop(permit);
            };
            tokio::spawn(work.instrument(span));
        }
    }

    /// Tells turns at work what was said to them.
    async fn pass_on(self) {
        let told = self.parts.store.notified_turns();
        loop {
            self.busy.tell(&told.next().await);
        }
    }

    /// Runs a session's turns, one after the other, until none waits.
    async fn work(&self, session: &str, word: Word, presence: &Presence) {
        while !self.room.is_closed() {
            match self.parts.store.claim_turn(session).await {
                Ok(Some(turn)) => self.run(turn, word.clone(), presence).await,
                Ok(None) => {
                    if self.busy.release(session) {
                        return;
                    }
                }
                Err(error) => {
                    error!(%error, "turns can't be read from the store");
                    self.busy.release(session);
                    // It doesn't come back before a restart: nobody who waits now is ever answered.
                    return self.listeners.fail(&error);
                }
            }
        }
    }

    /// Runs one turn to its end, or puts it back for another attempt.
    async fn run(&self, turn: Turn, word: Word, presence: &Presence) {
        let said = self.listeners.said(&turn.message.id);
        if let Some(activity) = reply::activity(&turn, &said) {
            self.parts.events.report_activity(activity);
        }
        let (parts, standing) = (&self.parts, &self.standing);
        let work = Work { parts, standing, turn: &turn, said: &said, presence, word };
        let ended = run(&work).await;
        drop(said);
        match ended {
            Ok(message) => self.listeners.done(&turn.message.id, Ok(message)),
            // Whoever waited was told when its session was ended.
            Err(_) if self.parts.store.turn_state(&turn.id()).is_ok_and(|state| state == TurnState::Over) => {
                info!("the turn is over, with its session");
            }
            Err(cut) => self.cut(&turn, cut).await,
        }
    }

    /// A turn that could not end: tried again after a pause, or put aside with its reason.
    async fn cut(&self, turn: &Turn, cut: Cut) {
        if turn.attempts < cut.attempts {
            info!(error = %cut.error, attempt = turn.attempts, "the turn is tried again");
            let pause = Duration::from_millis(250 << turn.attempts.min(6));
            self.parts.clock.sleep(pause).await;
            return;
        }
        error!(error = %cut.error, cause = ?std::error::Error::source(&cut.error), "the turn is put aside");
        let told = reply::apology(turn, &cut);
        let parked =
            Parked { reason: cut.error.message().into(), said: cut.said, refused: cut.refused, told };
        match self.parts.store.park_turn(&turn.id(), parked).await {
            Ok(()) => {
                self.listeners.done(&turn.message.id, Err(cut.error));
            }
            Err(error) => self.listeners.done(&turn.message.id, Err(error)),
        }
    }

    /// Lets sessions become idle, and idle ones end.
    async fn sweep(self) {
        loop {
            let agent = self.parts.config.current().agent.clone();
            let idle = Duration::from_secs(agent.session_idle_secs);
            let timeout = Duration::from_secs(agent.session_timeout_secs);
            let pause = (idle.min(timeout) / 4).clamp(Duration::from_millis(250), Duration::from_secs(15));
            tokio::select! {
                () = self.parts.clock.sleep(pause) => {}
                () = self.closing.notified() => return,
            }
            if let Err(error) = self.parts.store.sweep_sessions(idle, timeout).await {
                error!(%error, "sessions can't be swept");
            }
        }
    }
}

/// What is told to whoever waits for a reply while the gateway stops.
pub fn stopping() -> Error {
    let message = "The gateway is stopping; the message is kept and answered after the next start";
    Error::new(Code::Unavailable, message)
}

/// A turn whose session ended under it.
fn session_gone(session: &str) -> Error {
    Error::new(Code::Conflict, format!("Session {session} was terminated before the reply was there"))
}
