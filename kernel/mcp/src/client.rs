//! Every configured server, followed as the configuration changes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use rmcp::RoleClient;
use rmcp::model::JsonObject;
use rmcp::service::{Peer, ServiceError};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{Instrument, info_span};

use super::call::{Call, is_unfinished};
use super::content::{Files, Outcome};
use super::failure;
use super::login::Login;
use super::requests::{Limit, Unanswered};
use super::resources::Offer;
use super::server::{Connector, Server, State};
use super::settings;
use super::under_way::Person;
use prx_base::Base;
use prx_base::error::{Error, Result};
use prx_base::traces::TraceContext;
use prx_egress::Egress;
use prx_store::{BlobLimits, Store};

/// How long a server may take to end once it is to be disconnected: 6 seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);

/// The longest that a call may take which tells of its progress, if a call may not take longer without: 1 hour.
const MAX_CALL: Duration = Duration::from_secs(60 * 60);

/// A server and its connection, for `GET /mcp`.
#[derive(Debug, Clone)]
pub struct ServerStatus {
    /// Its name in `mcp_servers`.
    pub name: String,
    /// `stdio` or `http`.
    pub transport: &'static str,
    /// The state of its connection.
    pub state: State,
    /// The names of its tools, as it calls them; none while it is not connected.
    pub tools: Vec<String>,
    /// When the present connection was made.
    pub connected_at: Option<Timestamp>,
    /// Why it is not connected, as far as that is known.
    pub error: Option<String>,
    /// Why it has more tools than these.
    pub problem: Option<String>,
}

/// A tool of a connected server.
#[derive(Debug, Clone)]
pub struct Tool {
    /// The server's name in `mcp_servers`.
    pub server: String,
    /// Its own name, as the server calls it.
    pub name: String,
    /// What it does, as the server says.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// The server says that it changes nothing.
    pub read_only: bool,
    /// Why it can't be called, if that is so.
    pub problem: Option<String>,
}

/// Whom a tool is called for.
#[derive(Debug, Clone)]
pub struct Caller<'a> {
    /// The channel of the session that the tool is called in: the files in its answer belong there.
    pub channel: &'a str,
    /// How large they may be.
    pub limits: BlobLimits,
    /// Who is asked what the server wants to know; none: nobody.
    pub person: Option<Person>,
    /// What the call is part of in a trace, where the server is to know.
    pub trace: Option<TraceContext>,
}

/// A cheap-clone handle to all configured servers.
#[derive(Clone)]
pub struct Mcp {
    base: Base,
    /// Where the files in answers are kept.
    store: Store,
    egress: Egress,
    /// By name. The lock is never held across an await.
    running: Arc<Mutex<BTreeMap<String, Running>>>,
    /// Rises after the tools of a server have changed.
    revision: Arc<AtomicU64>,
}

struct Running {
    server: Arc<Server>,
    task: JoinHandle<()>,
}

impl Mcp {
    /// Starts to connect every configured server, and from then on follows the configuration. Files in their answers
    /// are kept in `store`, and servers with a URL are reached through `egress`.
    pub fn start(base: Base, store: Store, egress: Egress) -> Self {
        let mcp = Self { base, store, egress, running: Arc::default(), revision: Arc::default() };
        let mut changes = mcp.base.config.subscribe();
        mcp.start_missing();
        let following = mcp.clone();
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                following.stop_changed().await;
                following.start_missing();
            }
        });
        mcp
    }

    /// Waits until the first attempt to connect each configured server has succeeded or failed, so that its tools are
    /// known if they can be; at most for `limit`.
    pub async fn settled(&self, limit: Duration) {
        let attempts: Vec<_> =
            self.running().values().map(|running| running.server.first_attempt_done.subscribe()).collect();
        // A server that is taken out meanwhile is waited for no more.
        let all =
            join_all(attempts.into_iter().map(async |mut done| drop(done.wait_for(|done| *done).await)));
        tokio::select! {
            _ = all => {}
            () = self.base.clock.sleep(limit) => {}
        }
    }

    /// Every configured server, by name.
    pub fn list(&self) -> Vec<ServerStatus> {
        let status = |(name, running): (&String, &Running)| {
            let status = running.server.status();
            let session = status.session.as_ref();
            let tools = session.map(|session| session.tools.tools.iter().map(|tool| tool.name.clone()));
            ServerStatus {
                name: name.clone(),
                transport: running.server.transport(),
                state: status.state,
                tools: tools.into_iter().flatten().collect(),
                connected_at: session.map(|session| session.since),
                error: status.error.clone(),
                problem: session.and_then(|session| session.tools.problem.clone()),
            }
        };
        self.running().iter().map(status).collect()
    }

    /// Connects a server anew, at once. Returns before that is done.
    ///
    /// # Errors
    /// There is no such server.
    pub fn reconnect(&self, name: &str) -> Result<()> {
        let running = self.running();
        let running = running.get(name).ok_or_else(|| Error::not_found("MCP server", name))?;
        running.server.reconnect();
        Ok(())
    }

    /// Begins a login to a server, and returns the URL that a person opens in a browser, who is sent to `redirect_uri` then.
    ///
    /// # Errors
    /// There is no such server, or no login to it is possible; says why.
    pub async fn login(&self, name: &str, redirect_uri: &str) -> Result<String> {
        let (server, login) = self.login_of(name)?;
        let client = server.site(&self.egress).map_err(Error::conflict)?;
        let challenge = client.challenge().await;
        let challenge =
            challenge.map_err(|why| Error::conflict(format!("MCP server {name} can't be reached: {why}")))?;
        login.begin(redirect_uri, &challenge).await
    }

    /// Finishes a login with the URL that the person was sent to, and connects the server anew.
    ///
    /// # Errors
    /// There is no such server, or that is not the answer to a login that was begun, or it was refused; says why.
    pub async fn complete_login(&self, name: &str, redirected: &str) -> Result<()> {
        let (server, login) = self.login_of(name)?;
        login.complete(redirected).await?;
        server.reconnect();
        Ok(())
    }

    /// Forgets the login to a server, which need not be configured any more.
    ///
    /// # Errors
    /// There was none.
    pub async fn logout(&self, name: &str) -> Result<()> {
        if !self.store.remove_mcp_login(name).await? {
            return Err(Error::not_found("Login to the MCP server", name));
        }
        if let Some(running) = self.running().get(name) {
            running.server.reconnect();
        }
        Ok(())
    }

    fn login_of(&self, name: &str) -> Result<(Arc<Server>, Arc<Login>)> {
        let server = self.running().get(name).map(|running| running.server.clone());
        let server = server.ok_or_else(|| Error::not_found("MCP server", name))?;
        let login = server.login.clone().ok_or_else(|| {
            Error::conflict(format!(
                "MCP server {name} takes no login: it is a program, or has an authorization header in its settings already"
            ))
        })?;
        Ok((server, login))
    }

    /// Rises whenever a server's tools come, change or go. Whoever keeps what [`Mcp::tools`] returned compares it, and
    /// asks again where it is another.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The tools of every connected server.
    pub fn tools(&self) -> Vec<Tool> {
        let mut all = Vec::new();
        for (server, running) in self.running().iter() {
            let Some(tools) = running.server.tools() else { continue };
            all.extend(tools.tools.iter().map(|tool| Tool {
                server: server.clone(),
                name: tool.name.clone(),
                description: tool.description.clone(),
                parameters: tool.parameters.clone(),
                read_only: tool.read_only,
                problem: tool.problem.clone(),
            }));
        }
        all
    }

    /// Calls a server's tool; nothing if the server is not connected or has no such tool. That the tool failed or did
    /// not answer is an outcome like any other. The files in its answer are kept for the caller's channel. What the
    /// server wants to know meanwhile is put to the caller's person.
    pub async fn call(
        &self,
        server: &str,
        tool: &str,
        arguments: JsonObject,
        caller: Caller<'_>,
    ) -> Option<Outcome> {
        let (found, peer, offer) = self.find(server, tool)?;
        let each = found.options.timeout;
        let setting = match each {
            Some(_) => format!("mcp_servers.{server}.timeout_secs"),
            None => format!("tools.timeout_secs, or for this server mcp_servers.{server}.timeout_secs"),
        };
        let each = each.unwrap_or(Duration::from_secs(self.base.config.current().tools.timeout_secs));
        let limit = Limit { each, most: each.max(MAX_CALL) };
        let open = found.traffic.calls.open(server, caller.person);
        let call = Call { traffic: &found.traffic, peer: &peer, open: &open, limit, trace: caller.trace };
        let answer = call.answer(tool, arguments, offer).await;
        let notes = open.notes();
        drop(open);
        if !matches!(answer, Ok(_) | Err(Unanswered::Failed(ServiceError::McpError(_)))) {
            found.ping_now();
        }
        let outcome = match answer {
            Ok(result) if is_unfinished(&result) => {
                Outcome::failed("the tool asks for something that only a person could give")
            }
            Ok(result) => {
                Files { store: &self.store, channel: caller.channel, limits: caller.limits }
                    .outcome(result)
                    .await
            }
            Err(Unanswered::Failed(error)) => Outcome::failed(failure::request(&error)),
            Err(Unanswered::Silent) => {
                Outcome::failed(format!("{server}.{tool} did not answer within {each:?} ({setting})"))
            }
            Err(Unanswered::Endless) => Outcome::failed(format!(
                "{server}.{tool} told of its progress and did not end within {:?}, which is the most",
                limit.most
            )),
        };
        Some(outcome.with_notes(&notes))
    }

    /// Disconnects every server, and returns when their processes are gone; those that do not end within `limit` by
    /// themselves are killed.
    pub async fn stop(&self, limit: Duration) {
        let all = std::mem::take(&mut *self.running());
        self.stop_all(all, limit.min(STOP_TIMEOUT)).await;
    }

    fn find(&self, server: &str, tool: &str) -> Option<(Arc<Server>, Peer<RoleClient>, Option<Offer>)> {
        let server = self.running().get(server)?.server.clone();
        let status = server.status();
        let session = status.session.as_ref().filter(|session| session.tools.has(tool))?;
        let (peer, offer) = (session.peer.clone(), session.tools.offer(tool));
        drop(status);
        Some((server, peer, offer))
    }

    async fn stop_changed(&self) {
        let config = self.base.config.current();
        let wanted = &config.components.mcp_servers;
        let changed = self
            .running()
            .extract_if(.., |name, running| wanted.get(name) != Some(&running.server.settings))
            .collect();
        self.stop_all(changed, STOP_TIMEOUT).await;
    }

    fn start_missing(&self) {
        let config = self.base.config.current();
        let mut running = self.running();
        for (name, settings) in &config.components.mcp_servers {
            if !running.contains_key(name) {
                let login = settings::login(settings).map(|oauth| {
                    let (store, clock) = (self.store.clone(), self.base.clock.clone());
                    Arc::new(Login::new(name.clone(), oauth, store, clock, self.egress.clone()))
                });
                let server = Arc::new(Server::new(settings.clone(), login, self.revision.clone()));
                let span = info_span!("mcp", module = format!("mcp::{name}"));
                let connector = Connector { clock: self.base.clock.clone(), egress: self.egress.clone() };
                let task = tokio::spawn(server.clone().run(connector).instrument(span));
                running.insert(name.clone(), Running { server, task });
            }
        }
    }

    /// Disconnects servers that were taken out.
    async fn stop_all(&self, servers: BTreeMap<String, Running>, limit: Duration) {
        self.revision.fetch_add(1, Ordering::Release);
        for running in servers.values() {
            running.server.stop(limit);
        }
        join_all(servers.into_values().map(|running| async move {
            // A task that ended by a defect has let go of its process, too.
            let _ = running.task.await;
            if let Some(login) = &running.server.login {
                let _ = timeout(limit, login.settled()).await;
            }
        }))
        .await;
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
