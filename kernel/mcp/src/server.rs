//! One configured server: connected, pinged, and reconnected with backoff when the connection is lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use rmcp::RoleClient;
use rmcp::service::Peer;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::connection::{Connection, Listener, Unlisted, Unopened};
use super::http::Client;
use super::listing::Listing;
use super::login::Login;
use super::requests::Traffic;
use super::settings::{self, Options, Target, is_program};
use prx_base::clock::{Clock, stopwatch, vary};
use prx_base::config::Settings;
use prx_egress::Egress;

/// How long a connection that was lost may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(6);
/// How often a server is tried that waits for a person to log in.
const PERSONS_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Least time between two lists of a server's tools, however often it says that they have changed.
const LIST_INTERVAL: Duration = Duration::from_secs(1);
/// Backoff before the second attempt; it doubles with each failure, up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_secs(1);
/// Longest backoff. A connection that lasts longer makes up for the failures before it.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

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

/// The state of a server's connection.
pub(super) struct Status {
    pub(super) state: State,
    /// Why it is not connected.
    pub(super) error: Option<String>,
    /// There while it is connected.
    pub(super) session: Option<Session>,
}

/// What calls need while a server is connected.
pub(super) struct Session {
    pub(super) peer: Peer<RoleClient>,
    pub(super) tools: Listing,
    pub(super) since: Timestamp,
}

/// What servers are connected with.
pub(super) struct Connector {
    pub(super) clock: Clock,
    pub(super) egress: Egress,
}

/// One server, shared between its task and those who call it.
pub(super) struct Server {
    pub(super) settings: Settings,
    pub(super) options: Options,
    /// Who logs in to it; none where nobody can.
    pub(super) login: Option<Arc<Login>>,
    /// What is under way between it and the gateway.
    pub(super) traffic: Arc<Traffic>,
    /// The lock is never held across an await.
    status: Mutex<Status>,
    /// Shared by all servers: rises after the tools of one have changed.
    revision: Arc<AtomicU64>,
    /// The first attempt to connect has succeeded or failed.
    pub(super) first_attempt_done: watch::Sender<bool>,
    reconnect_requested: Notify,
    ping_requested: Notify,
    /// The server says that its tools have changed.
    tools_changed: Arc<Notify>,
    stop: CancellationToken,
    /// How long its process may take to end, once it is stopped.
    stop_limit: OnceLock<Duration>,
}

/// Why a connection is over.
enum Disconnect {
    /// The server is no longer configured, or the gateway shuts down.
    Stopped,
    /// A reconnect was requested.
    Requested,
    /// It failed, for this reason.
    Lost(String),
    /// It can't be made before a person has done something.
    Waits(String),
}

/// What a server does with pings.
enum Pings {
    /// That is not known yet.
    Sent,
    Answered,
    /// Nothing, though it answers other requests.
    Ignored,
}

impl Server {
    pub(super) fn new(settings: Settings, login: Option<Arc<Login>>, revision: Arc<AtomicU64>) -> Self {
        Self {
            // What can't be read keeps it from being connected, later on.
            options: settings::options(&settings).unwrap_or_default(),
            settings,
            login,
            traffic: Arc::default(),
            revision,
            status: Mutex::new(Status { state: State::Reconnecting, error: None, session: None }),
            first_attempt_done: watch::Sender::new(false),
            reconnect_requested: Notify::new(),
            ping_requested: Notify::new(),
            tools_changed: Arc::default(),
            stop: CancellationToken::new(),
            stop_limit: OnceLock::new(),
        }
    }

    /// `stdio` or `http`.
    pub(super) fn transport(&self) -> &'static str {
        if is_program(&self.settings) { "stdio" } else { "http" }
    }

    /// What sends requests to it without a login, for one that is reached over HTTP.
    ///
    /// # Errors
    /// It is none, or its settings can't be read.
    pub(super) fn site(&self, egress: &Egress) -> Result<Client, String> {
        match settings::read(&self.settings)? {
            Target::Site(site) => Ok(Client::new(egress.clone(), site, None)),
            Target::Program(_) => Err("it is a program".into()),
        }
    }

    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its tools, while it is connected.
    pub(super) fn tools(&self) -> Option<Listing> {
        self.status().session.as_ref().map(|session| session.tools.clone())
    }

    /// Requests a fresh connection. Any number of requests during one attempt are answered by that attempt.
    pub(super) fn reconnect(&self) {
        let mut status = self.status();
        self.replace(&mut status, Status { state: State::Reconnecting, error: None, session: None });
        self.reconnect_requested.notify_one();
    }

    /// Has the server pinged without waiting for the next interval, because a call of it went wrong.
    pub(super) fn ping_now(&self) {
        self.ping_requested.notify_one();
    }

    /// Has it disconnected, and its process ended within a limit.
    pub(super) fn stop(&self, limit: Duration) {
        let _ = self.stop_limit.set(limit);
        self.stop.cancel();
    }

    /// Keeps the server connected until it is stopped.
    pub(super) async fn run(self: Arc<Self>, connector: Connector) {
        let mut failures = 0;
        loop {
            let started = stopwatch();
            match self.run_connection(&connector).await {
                Disconnect::Stopped => break,
                Disconnect::Requested => {
                    failures = 0;
                    continue;
                }
                Disconnect::Lost(reason) => self.set_unconnected(State::Disconnected, Some(reason)),
                Disconnect::Waits(reason) => {
                    self.set_unconnected(State::Disconnected, Some(reason));
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        () = self.reconnect_requested.notified() => {}
                        () = connector.clock.sleep(PERSONS_INTERVAL) => {}
                    }
                    failures = 0;
                    continue;
                }
            }
            failures = if started.elapsed() > MAX_BACKOFF { 0 } else { failures + 1 };
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.reconnect_requested.notified() => failures = 0,
                () = connector.clock.sleep(backoff(failures)) => {}
            }
            let error = self.status().error.clone();
            self.set_unconnected(State::Reconnecting, error);
        }
        self.set_unconnected(State::Disconnected, None);
    }

    /// One connection, from the attempt to its end.
    async fn run_connection(&self, connector: &Connector) -> Disconnect {
        let limit = self.options.start;
        let connecting = timeout(limit, self.connect(connector));
        let connected = tokio::select! {
            () = self.stop.cancelled() => return Disconnect::Stopped,
            connected = connecting => connected,
        };
        self.first_attempt_done.send_replace(true);
        let mut connection = match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(Unopened { reason, is_for_a_person: true })) => return Disconnect::Waits(reason),
            Ok(Err(Unopened { reason, .. })) => return Disconnect::Lost(reason),
            Err(_) => {
                let reason = format!("no answer within {} s (start_secs)", limit.as_secs());
                return Disconnect::Lost(reason);
            }
        };
        let disconnect = tokio::select! {
            () = self.stop.cancelled() => Disconnect::Stopped,
            () = self.reconnect_requested.notified() => Disconnect::Requested,
            reason = self.keep_alive(&mut connection, &connector.clock) => Disconnect::Lost(reason),
        };
        match &disconnect {
            Disconnect::Lost(reason) | Disconnect::Waits(reason) => {
                self.set_unconnected(State::Disconnected, Some(reason.clone()));
            }
            Disconnect::Stopped | Disconnect::Requested => self.set_unconnected(State::Reconnecting, None),
        }
        connection.close(self.stop_limit.get().copied().unwrap_or(CLOSE_TIMEOUT)).await;
        disconnect
    }

    async fn connect(&self, connector: &Connector) -> Result<Connection, Unopened> {
        let target = settings::read(&self.settings)?;
        let listener = Listener { tools_changed: self.tools_changed.clone(), traffic: self.traffic.clone() };
        let login = self.login.clone();
        let mut connection = Connection::open(target, &connector.egress, login, listener).await?;
        let tools = match connection.tools(&self.options.tools).await {
            Ok(tools) => tools,
            Err(Unlisted::Refused(reason)) => return Err(reason.into()),
            Err(Unlisted::Lost(reason)) => {
                return Err(connection.closed_already().await.unwrap_or(reason).into());
            }
        };
        info!(tools = tools.tools.len(), "connected");
        tell(&tools);
        let since = connector.clock.now();
        let session = Session { peer: connection.peer.clone(), tools, since };
        let mut status = self.status();
        // Requests made meanwhile are answered by this connection; later ones find it connected.
        let _ = self.reconnect_requested.notified().now_or_never();
        self.replace(&mut status, Status { state: State::Connected, error: None, session: Some(session) });
        drop(status);
        Ok(connection)
    }

    /// Pings the server and follows its tools until the connection is lost; returns why it is.
    async fn keep_alive(&self, connection: &mut Connection, clock: &Clock) -> String {
        let mut pings = Pings::Sent;
        let mut changed = false;
        let mut listed = stopwatch();
        loop {
            let rest = LIST_INTERVAL.saturating_sub(listed.elapsed());
            let done = tokio::select! {
                reason = connection.closed() => return reason,
                () = self.tools_changed.notified() => {
                    changed = true;
                    Ok(())
                }
                () = clock.sleep(rest), if changed => {
                    listed = stopwatch();
                    let refreshed = self.refresh_tools(connection).await;
                    changed = matches!(refreshed, Ok(false));
                    refreshed.map(drop)
                }
                () = self.ping_requested.notified() => self.probe(connection, &mut pings, true).await,
                () = clock.sleep(self.options.ping.unwrap_or(Duration::MAX)), if self.options.ping.is_some() => {
                    self.probe(connection, &mut pings, false).await
                }
            };
            if let Err(reason) = done {
                return connection.closed_already().await.unwrap_or(reason);
            }
        }
    }

    /// Makes sure that the server is there. While a call is under way, its silence says nothing: many do one thing after
    /// the other. One that never answered a ping is asked something else, and if it answers that, it is asked again only
    /// when a call `failed`.
    ///
    /// # Errors
    /// It is not; says how that was seen.
    async fn probe(&self, connection: &Connection, pings: &mut Pings, failed: bool) -> Result<(), String> {
        if self.traffic.is_busy() || (matches!(pings, Pings::Ignored) && !failed) {
            return Ok(());
        }
        let before = self.traffic.answers();
        let is_there = || self.traffic.is_busy() || self.traffic.answers() != before;
        let mut silence = None;
        if !matches!(pings, Pings::Ignored) {
            match connection.ping(self.options.ping.unwrap_or(Duration::MAX)).await {
                Ok(()) => {
                    *pings = Pings::Answered;
                    return Ok(());
                }
                Err(_) if is_there() => return Ok(()),
                Err(reason) if matches!(pings, Pings::Answered) => return Err(reason),
                Err(reason) => silence = Some(reason),
            }
        }
        match connection.answer().await {
            Err(reason) if !is_there() => Err(silence.unwrap_or(reason)),
            _ => {
                if silence.is_some() {
                    info!("it answers other requests and no ping: it is pinged no more");
                    *pings = Pings::Ignored;
                }
                Ok(())
            }
        }
    }

    /// Reads the tools anew, and returns whether that was possible: while a call is under way it may not be. A server
    /// that refuses keeps those it had.
    async fn refresh_tools(&self, connection: &Connection) -> Result<bool, String> {
        let tools = match connection.tools(&self.options.tools).await {
            Ok(tools) => tools,
            Err(Unlisted::Refused(reason)) => {
                warn!("its tools have changed, and {reason}");
                return Ok(true);
            }
            Err(Unlisted::Lost(_)) if self.traffic.is_busy() => return Ok(false),
            Err(Unlisted::Lost(reason)) => return Err(reason),
        };
        info!(tools = tools.tools.len(), "the tools have changed");
        tell(&tools);
        if let Some(session) = &mut self.status().session {
            session.tools = tools;
            self.revision.fetch_add(1, Ordering::Release);
        }
        Ok(true)
    }

    /// Notes that the server is not connected. An error is logged once, not at every attempt.
    fn set_unconnected(&self, state: State, error: Option<String>) {
        let mut status = self.status();
        match &error {
            Some(error) if status.error.as_ref() != Some(error) => warn!(error, "not connected"),
            _ => {}
        }
        self.replace(&mut status, Status { state, error, session: None });
    }

    /// Replaces the status, and counts that where tools come or go with it.
    fn replace(&self, status: &mut Status, new: Status) {
        let tools_change = status.session.is_some() || new.session.is_some();
        *status = new;
        if tools_change {
            self.revision.fetch_add(1, Ordering::Release);
        }
    }
}

/// Tells the operator what is wrong with a server's tools.
fn tell(tools: &Listing) {
    if let Some(problem) = &tools.problem {
        warn!("{problem}");
    }
}

/// The backoff after so many failures in a row, with jitter so that servers don't come back in step.
fn backoff(failures: u32) -> Duration {
    let full = MIN_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(MAX_BACKOFF);
    vary(full, 0.5..=1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_up_to_a_minute_and_varies() {
        for (failures, most) in [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (u32::MAX, 60)] {
            let (backoff, most) = (backoff(failures), Duration::from_secs(most));
            assert!(backoff >= most / 2 && backoff <= most, "{failures}: {backoff:?}");
        }
    }
}
