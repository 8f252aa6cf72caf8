//! One configured server: connected, and connected again whenever that is lost.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use rmcp::RoleClient;
use rmcp::model::Tool;
use rmcp::service::Peer;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Parts;
use super::connection::Connection;
use super::settings::{self, is_program};
use prx_base::clock::{stopwatch, vary};
use prx_base::config::Settings;

/// How long a server may take to start and to answer for the first time; some fetch themselves first.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a server is asked whether it is still there.
const PROBE: Duration = Duration::from_secs(15);
/// The first pause before another attempt; it doubles from there …
const FIRST_REST: Duration = Duration::from_secs(1);
/// … up to this. A connection that lasts as long makes up for the failures before it.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Whether a server can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "McpState")]
pub enum State {
    /// It can.
    Connected,
    /// It is being tried.
    Reconnecting,
    /// It can't, and is tried again after a while.
    Disconnected,
}

/// How a server stands.
pub(super) struct Standing {
    pub(super) state: State,
    pub(super) error: Option<String>,
    pub(super) live: Option<Live>,
}

/// What there is of a server while it is connected.
pub(super) struct Live {
    pub(super) peer: Peer<RoleClient>,
    pub(super) tools: Tools,
    pub(super) since: Timestamp,
}

/// A server's tools, in its own order. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tools {
    list: Arc<[Tool]>,
    names: Arc<HashSet<String>>,
}

impl From<Vec<Tool>> for Tools {
    fn from(list: Vec<Tool>) -> Self {
        let names = list.iter().map(|tool| tool.name.to_string()).collect();
        Self { list: list.into(), names: Arc::new(names) }
    }
}

impl Deref for Tools {
    type Target = [Tool];

    fn deref(&self) -> &[Tool] {
        &self.list
    }
}

impl Tools {
    /// Whether there is a tool of that name, however many there are.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

/// One server, shared between its task and those who ask for it.
pub(super) struct Server {
    pub(super) settings: Settings,
    standing: Mutex<Standing>,
    /// Shared by all servers: rises after the tools of one have changed.
    revision: Arc<AtomicU64>,
    /// The first attempt to connect it is over.
    pub(super) tried: watch::Sender<bool>,
    /// Someone wants it connected anew.
    asked: Notify,
    /// A call went wrong: is it still there?
    pub(super) suspect: Notify,
    /// It has other tools now.
    changed: Arc<Notify>,
    pub(super) stop: CancellationToken,
}

/// Why a connection is over.
enum Ended {
    Stopped,
    Asked,
    Lost(String),
}

impl Server {
    pub(super) fn new(settings: Settings, revision: Arc<AtomicU64>) -> Self {
        Self {
            settings,
            revision,
            standing: Mutex::new(Standing { state: State::Reconnecting, error: None, live: None }),
            tried: watch::Sender::new(false),
            asked: Notify::new(),
            suspect: Notify::new(),
            changed: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    /// `stdio` or `http`.
    pub(super) fn transport(&self) -> &'static str {
        if is_program(&self.settings) { "stdio" } else { "http" }
    }

    pub(super) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a fresh connection. Any number of requests during one attempt are answered by that attempt.
    pub(super) fn reconnect(&self) {
        let mut standing = self.standing();
        self.replace(&mut standing, Standing { state: State::Reconnecting, error: None, live: None });
        self.asked.notify_one();
    }

    /// Keeps the server connected until it is stopped.
    pub(super) async fn run(self: Arc<Self>, parts: Parts) {
        let mut failures = 0;
        loop {
            let started = stopwatch();
            match self.live(&parts).await {
                Ended::Stopped => break,
                Ended::Asked => {
                    failures = 0;
                    continue;
                }
                Ended::Lost(problem) => self.become_state(State::Disconnected, Some(problem)),
            }
            failures = if started.elapsed() > LONGEST_REST { 0 } else { failures + 1 };
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.asked.notified() => failures = 0,
                () = parts.clock.sleep(rest(failures)) => {}
            }
            let error = self.standing().error.clone();
            self.become_state(State::Reconnecting, error);
        }
        self.become_state(State::Disconnected, None);
    }

    /// One connection, from the attempt to its end.
    async fn live(&self, parts: &Parts) -> Ended {
        let connecting = timeout(PATIENCE, self.connect(parts));
        let connected = tokio::select! {
            () = self.stop.cancelled() => return Ended::Stopped,
            connected = connecting => connected,
        };
        self.tried.send_replace(true);
        let mut connection = match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(problem)) => return Ended::Lost(problem),
            Err(_) => return Ended::Lost(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let ended = tokio::select! {
            () = self.stop.cancelled() => Ended::Stopped,
            () = self.asked.notified() => Ended::Asked,
            problem = self.attend(&mut connection, parts) => Ended::Lost(problem),
        };
        match &ended {
            Ended::Lost(problem) => self.become_state(State::Disconnected, Some(problem.clone())),
            Ended::Stopped | Ended::Asked => self.become_state(State::Reconnecting, None),
        }
        connection.end().await;
        ended
    }

    async fn connect(&self, parts: &Parts) -> Result<Connection, String> {
        let target = settings::read(&self.settings)?;
        let connection = Connection::open(target, &parts.egress, self.changed.clone()).await?;
        let tools = connection.tools().await?;
        info!(tools = tools.len(), "connected");
        let live = Live { peer: connection.peer.clone(), tools: tools.into(), since: parts.clock.now() };
        let mut standing = self.standing();
        // Whoever asked meanwhile has got what he asked for; whoever asks from now on finds it connected.
        let _ = self.asked.notified().now_or_never();
        self.replace(&mut standing, Standing { state: State::Connected, error: None, live: Some(live) });
        drop(standing);
        Ok(connection)
    }

    /// Looks after a connection until it is lost; says why it is.
    async fn attend(&self, connection: &mut Connection, parts: &Parts) -> String {
        loop {
            let done = tokio::select! {
                problem = connection.closed() => return problem,
                () = self.changed.notified() => self.look_at_tools(connection).await,
                () = self.suspect.notified() => connection.probe().await,
                () = parts.clock.sleep(PROBE) => connection.probe().await,
            };
            if let Err(problem) = done {
                return problem;
            }
        }
    }

    async fn look_at_tools(&self, connection: &Connection) -> Result<(), String> {
        let tools = connection.tools().await?;
        info!(tools = tools.len(), "the tools have changed");
        if let Some(live) = &mut self.standing().live {
            live.tools = tools.into();
            self.revision.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    /// Notes that the server is not connected. The log is told of an error once, not at every attempt.
    fn become_state(&self, state: State, error: Option<String>) {
        let mut standing = self.standing();
        match &error {
            Some(error) if standing.error.as_ref() != Some(error) => warn!(error, "not connected"),
            _ => {}
        }
        self.replace(&mut standing, Standing { state, error, live: None });
    }

    /// Puts one standing in the place of another, and counts that where tools come or go with it.
    fn replace(&self, standing: &mut Standing, new: Standing) {
        let tools_change = standing.live.is_some() || new.live.is_some();
        *standing = new;
        if tools_change {
            self.revision.fetch_add(1, Ordering::Release);
        }
    }
}

/// How long to rest after so many failures; never quite the same, so that servers don't come back in step.
fn rest(failures: u32) -> Duration {
    let full = FIRST_REST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_REST);
    vary(full, 0.5..=1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_up_to_a_minute_and_vary() {
        for (failures, most) in [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (u32::MAX, 60)] {
            let (rest, most) = (rest(failures), Duration::from_secs(most));
            assert!(rest >= most / 2 && rest <= most, "{failures}: {rest:?}");
        }
    }
}
