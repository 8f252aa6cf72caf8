//! The composition root: what the gateway is made of, started in order and shut down in the reverse.

use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::bundled::BUNDLED;
use crate::settings::{self, AtStart, Settings};
use prx_agents::Turns;
use prx_agents::tool::Tools;
use prx_base::Base;
use prx_base::clock::Clock;
use prx_base::config::{self, Live, Loaded};
use prx_base::error::{Code, Error};
use prx_base::logs::Logs;
use prx_channels::Channels;
use prx_egress::Egress;
use prx_hooks::Hooks;
use prx_host::memory::Memory;
use prx_host::{Engine, Plugins, Progress, Services};
use prx_http::Traffic;
use prx_mcp::Mcp;
use prx_store::{OpenError, Store};

/// How long running turns may take to end when the gateway stops: 10 seconds.
const TURN_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long deliveries to hooks may take to end then: 5 seconds.
const HOOK_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often expired blobs and old tokens are removed: every 10 minutes.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a token is listed that is good no more: 30 days.
const TOKENS_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What the command line says about where things are.
#[derive(Debug, Clone)]
pub struct Options {
    /// The configuration, read and checked, and its file.
    pub loaded: Loaded,
    /// The running log.
    pub logs: Logs,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Load bundled plugins only.
    pub safe_mode: bool,
}

/// A gateway that is open, and whose plugins are not loaded yet.
pub struct Startup {
    options: Options,
    /// The clock, the configuration and the events.
    pub base: Base,
    /// The disk.
    pub store: Store,
    egress: Egress,
    hooks: Hooks,
    /// What concerns the process as a whole.
    pub process: Process,
}

/// The running gateway. Connections are served by whoever holds it.
pub struct Gateway {
    /// The clock, the configuration and the events.
    pub base: Base,
    /// The disk.
    pub store: Store,
    /// What concerns the process as a whole.
    pub process: Process,
    /// The configuration's file, and changes to both.
    pub settings: Settings,
    /// The components.
    pub plugins: Plugins,
    /// Connections to MCP servers.
    pub mcp: Mcp,
    /// The tools of both.
    pub tools: Tools,
    /// What is remembered of people.
    pub memory: Memory,
    /// The turns of sessions.
    pub turns: Turns,
    /// Connections to platforms.
    pub channels: Channels,
    /// Deliveries of events to those who registered for them.
    pub hooks: Hooks,
}

/// What concerns the process as a whole.
#[derive(Debug, Clone)]
pub struct Process {
    /// When it was started.
    pub started: Timestamp,
    /// The running log.
    pub logs: Logs,
    /// Counts of requests and connections.
    pub traffic: Traffic,
    /// Cancelled when the gateway begins to stop.
    pub stopping: CancellationToken,
}

/// Why the gateway can't start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration can't be served.
    Config(config::Invalid),
    /// The data directory or the store in it can't be used.
    Store(OpenError),
    /// Something else; the message says what to do.
    Other(Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(invalid) => invalid.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl Startup {
    /// Opens the data directory: all that is quick.
    ///
    /// # Errors
    /// The store can't be opened or read.
    pub fn open(options: Options) -> Result<Self, StartError> {
        let clock = Clock::system();
        let process = Process {
            started: clock.now(),
            logs: options.logs.clone(),
            traffic: Traffic::default(),
            stopping: CancellationToken::new(),
        };
        let announcing = process.logs.recent.clone().announce();
        tokio::spawn(process.stopping.clone().run_until_cancelled_owned(announcing));
        let store = Store::open(&options.data_dir, clock.clone()).map_err(StartError::Store)?;
        let base = Base {
            config: Live::new(options.loaded.config.clone()),
            events: store.events().clone(),
            clock: clock.clone(),
        };
        let egress = Egress::new(clock);
        // Before plugins: hooks hear of those that fail.
        let hooks = Hooks::start(base.clone(), store.clone(), egress.clone());
        let hooks = hooks.map_err(StartError::Other)?;
        Ok(Self { options, base, store, egress, hooks, process })
    }

    /// Loads the plugins, tells `progress` of it, and starts every service. Turns that an earlier process left are
    /// resumed at once. May be dropped before it is done; [`Startup::close`] is to be called then.
    ///
    /// # Errors
    /// The configuration does not fit the plugins, or the plugin engine can't be built. A plugin that can't be
    /// loaded is no error here: it is shown as failed.
    pub async fn start(&self, progress: impl FnMut(Progress)) -> Result<Gateway, StartError> {
        let Self { options, base, store, egress, hooks, process } = self;
        let plugins = self.load_plugins(progress).await?;
        let loaded = options.loaded.clone();
        let mcp = Mcp::start(base.clone(), store.clone(), egress.clone());
        let tools = Tools::new(base.clone(), store.clone(), plugins.clone(), mcp.clone());
        let memory = Memory::new(store.clone());
        let turns = Turns::start(base.clone(), store.clone(), plugins.clone(), tools.clone(), memory.clone());
        let channels = {
            let (base, store, egress) = (base.clone(), store.clone(), egress.clone());
            Channels::start(base, store, egress, plugins.clone(), prx_agents::command)
        };
        let dependents = settings::Dependents {
            store: store.clone(),
            logs: process.logs.clone(),
            plugins: plugins.clone(),
            channels: channels.clone(),
            mcp: mcp.clone(),
        };
        let settings = Settings::start(base.clone(), loaded, dependents, process.stopping.clone());
        let sweeping = sweep(base.clone(), store.clone());
        tokio::spawn(process.stopping.clone().run_until_cancelled_owned(sweeping));
        let (base, store, process, hooks) = (base.clone(), store.clone(), process.clone(), hooks.clone());
        Ok(Gateway { base, store, process, settings, plugins, mcp, tools, memory, turns, channels, hooks })
    }

    async fn load_plugins(&self, mut progress: impl FnMut(Progress)) -> Result<Plugins, StartError> {
        let Self { options, base, store, egress, .. } = self;
        let services = Services { store: store.clone(), egress: egress.clone(), clock: base.clock.clone() };
        let engine = Engine::new(&options.data_dir, services).map_err(no_engine)?;
        let (data_dir, safe_mode) = (options.data_dir.clone(), options.safe_mode);
        let which = prx_host::Options { bundled: BUNDLED, data_dir, safe_mode };
        let plugins =
            Plugins::new(base.clone(), store.clone(), engine, which).await.map_err(StartError::Other)?;
        // Compiling takes long; what can be said without it is said first.
        let known = plugins.inspect_all().await.map_err(StartError::Other)?;
        let AtStart { fatal, down } = settings::at_start(&options.loaded.config, &known);
        if !fatal.is_empty() {
            return Err(StartError::Config(config::Invalid::of(options.loaded.file.path(), fatal)));
        }
        for (key, problem) in down {
            warn!("{key}: {problem}");
        }
        let mut loaded = plugins.progress();
        let mut loading = pin!(plugins.load_all());
        loop {
            tokio::select! {
                all = &mut loading => {
                    all.map_err(StartError::Other)?;
                    return Ok(plugins.clone());
                }
                Ok(()) = loaded.changed() => {
                    let now = *loaded.borrow_and_update();
                    progress(now);
                }
            }
        }
    }

    /// Shuts down what is open, where it did not come to a [`Gateway`].
    pub async fn close(self) {
        self.hooks.stop(HOOK_SHUTDOWN_TIMEOUT).await;
        self.store.close().await;
    }
}

impl Gateway {
    /// Shuts down in order: no new messages, then running turns, then what they call and the deliveries to hooks,
    /// then the disk.
    pub async fn stop(&self) {
        self.channels.stop().await;
        self.turns.stop(TURN_SHUTDOWN_TIMEOUT).await;
        self.mcp.stop().await;
        self.hooks.stop(HOOK_SHUTDOWN_TIMEOUT).await;
        self.store.clone().close().await;
    }
}

/// Removes images and files of old messages once they have expired, and tokens that are good no more.
async fn sweep(base: Base, store: Store) {
    loop {
        let days = base.config.current().store.blobs_days;
        match store.sweep_blobs(DAY * days).await {
            Ok(0) => {}
            Ok(count) => info!(count, "images and files of old messages were let go"),
            Err(error) => error!(%error, "images and files can't be swept"),
        }
        match store.sweep_tokens(TOKENS_KEPT).await {
            Ok(0) => {}
            Ok(count) => info!(count, "tokens that were revoked or have expired were forgotten"),
            Err(error) => error!(%error, "old tokens can't be swept"),
        }
        base.clock.sleep(SWEEP_INTERVAL).await;
    }
}

fn no_engine(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StartError {
    let message = "The WebAssembly engine does not run on this machine; its log line says why";
    StartError::Other(Error::new(Code::Internal, message).with_cause(cause))
}
