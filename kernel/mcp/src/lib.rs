//! MCP servers that the operator configured: each is a task of its own that keeps it connected, and its tools are
//! called like any other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, CallToolResponse, JsonObject};
use rmcp::service::{Peer, ServiceError};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{Instrument, info_span};

use self::content::Files;
pub use self::content::Outcome;
use self::server::Server;
pub use self::server::State;
pub use self::settings::check;
use prx_base::clock::Clock;
use prx_base::config::Live;
use prx_base::error::{Error, Result};
use prx_egress::Egress;
use prx_store::{BlobLimits, Store};

mod connection;
mod content;
mod failure;
mod http;
mod process;
mod server;
mod settings;
mod stdout;

/// What servers are connected with.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// The configuration in force.
    pub config: Live,
    /// The way out.
    pub egress: Egress,
    /// Where the files are kept that are in their answers.
    pub store: Store,
}

/// How a server stands, for `GET /mcp`.
#[derive(Debug, Clone)]
pub struct ServerStatus {
    /// Its name in `mcp_servers`.
    pub name: String,
    /// `stdio` or `http`.
    pub transport: &'static str,
    /// Whether it can be called.
    pub state: State,
    /// The names of its tools, as it calls them; none while it is not connected.
    pub tools: Vec<String>,
    /// When the present connection was made.
    pub connected_at: Option<Timestamp>,
    /// What is wrong.
    pub error: Option<String>,
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
}

/// A cheap-clone handle to all configured servers.
#[derive(Clone)]
pub struct Mcp {
    parts: Parts,
    running: Arc<Mutex<BTreeMap<String, Running>>>,
    /// Rises after the tools of a server have changed.
    revision: Arc<AtomicU64>,
}

struct Running {
    server: Arc<Server>,
    task: JoinHandle<()>,
}

impl Mcp {
    /// Starts to connect every configured server, and from then on follows the configuration.
    pub fn start(parts: Parts) -> Self {
        let mcp = Self { parts, running: Arc::default(), revision: Arc::default() };
        let mut changes = mcp.parts.config.subscribe();
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

    /// Ends when each configured server is connected or has failed to be once, so that its tools are known if they can
    /// be; at the latest after `patience`.
    pub async fn settled(&self, patience: Duration) {
        let tried: Vec<_> = self.running().values().map(|running| running.server.tried.subscribe()).collect();
        // A server that is taken out meanwhile is waited for no more.
        let all =
            join_all(tried.into_iter().map(async |mut tried| drop(tried.wait_for(|tried| *tried).await)));
        tokio::select! {
            _ = all => {}
            () = self.parts.clock.sleep(patience) => {}
        }
    }

    /// Every configured server, by name.
    pub fn list(&self) -> Vec<ServerStatus> {
        let status = |(name, running): (&String, &Running)| {
            let standing = running.server.standing();
            let tools =
                standing.live.as_ref().map(|live| live.tools.iter().map(|tool| tool.name.to_string()));
            ServerStatus {
                name: name.clone(),
                transport: running.server.transport(),
                state: standing.state,
                tools: tools.into_iter().flatten().collect(),
                connected_at: standing.live.as_ref().map(|live| live.since),
                error: standing.error.clone(),
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

    /// Rises whenever a server's tools come, change or go. Whoever keeps what [`Mcp::tools`] returned compares it, and
    /// asks again where it is another.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The tools of every connected server.
    pub fn tools(&self) -> Vec<Tool> {
        let mut all = Vec::new();
        for (server, running) in self.running().iter() {
            let tools = running.server.standing().live.as_ref().map(|live| live.tools.clone());
            all.extend(tools.iter().flat_map(|tools| tools.iter()).map(|tool| Tool {
                server: server.clone(),
                name: tool.name.to_string(),
                description: tool.description.as_deref().unwrap_or_default().to_owned(),
                parameters: Value::Object((*tool.input_schema).clone()),
                read_only: tool.annotations.as_ref().and_then(|hints| hints.read_only_hint) == Some(true),
            }));
        }
        all
    }

    /// Calls a server's tool; nothing if the server is not connected or has no such tool. That the tool failed or did
    /// not answer is an outcome like any other. The files in its answer are kept for `channel`, up to these limits.
    pub async fn call(
        &self,
        server: &str,
        tool: &str,
        arguments: JsonObject,
        (channel, limits): (&str, BlobLimits),
    ) -> Option<Outcome> {
        let name = format!("{server}.{tool}");
        let (server, peer) = self.find(server, tool)?;
        let limit = Duration::from_secs(self.parts.config.current().tools.timeout_secs);
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        Some(match timeout(limit, peer.call_tool_once(params)).await {
            Ok(Ok(CallToolResponse::Complete(result))) => {
                Files { store: &self.parts.store, channel, limits }.outcome(result).await
            }
            Ok(Ok(_)) => Outcome::failed("the tool asks for something that only a person could give"),
            Ok(Err(error)) => {
                if !matches!(error, ServiceError::McpError(_)) {
                    server.suspect.notify_one();
                }
                Outcome::failed(failure::request(&error))
            }
            Err(_) => {
                server.suspect.notify_one();
                Outcome::failed(format!("{name} did not answer within {limit:?} (tools.timeout_secs)"))
            }
        })
    }

    /// Disconnects every server, and returns when their processes are gone.
    pub async fn stop(&self) {
        let all = std::mem::take(&mut *self.running());
        self.stop_all(all).await;
    }

    fn find(&self, server: &str, tool: &str) -> Option<(Arc<Server>, Peer<RoleClient>)> {
        let server = self.running().get(server)?.server.clone();
        let peer = server.standing().live.as_ref().filter(|live| live.tools.has(tool))?.peer.clone();
        Some((server, peer))
    }

    async fn stop_changed(&self) {
        let config = self.parts.config.current();
        let wanted = &config.components.mcp_servers;
        let changed = self
            .running()
            .extract_if(.., |name, running| wanted.get(name) != Some(&running.server.settings))
            .collect();
        self.stop_all(changed).await;
    }

    fn start_missing(&self) {
        let config = self.parts.config.current();
        let mut running = self.running();
        for (name, settings) in &config.components.mcp_servers {
            if !running.contains_key(name) {
                let server = Arc::new(Server::new(settings.clone(), self.revision.clone()));
                let span = info_span!("mcp", module = format!("mcp::{name}"));
                let task = tokio::spawn(server.clone().run(self.parts.clone()).instrument(span));
                running.insert(name.clone(), Running { server, task });
            }
        }
    }

    /// Disconnects servers that were taken out.
    async fn stop_all(&self, servers: BTreeMap<String, Running>) {
        self.revision.fetch_add(1, Ordering::Release);
        for running in servers.values() {
            running.server.stop.cancel();
        }
        // A task that ended by a defect has let go of its process, too.
        join_all(servers.into_values().map(|running| running.task)).await;
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
