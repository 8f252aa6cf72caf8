//! The composition root: what the gateway is made of, built in order and shut down in the reverse.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::bundled::BUNDLED;
use crate::settings::{self, Settings};
use prx_agents::Turns;
use prx_agents::tool::Tools;
use prx_base::clock::Clock;
use prx_base::config::{self, Live, Loaded};
use prx_base::error::{Code, Error};
use prx_base::events::Events;
use prx_base::logs::Logs;
use prx_channels::Channels;
use prx_egress::Egress;
use prx_hooks::Hooks;
use prx_host::memory::Memory;
use prx_host::{Engine, Plugins, Services};
use prx_http::Traffic;
use prx_mcp::Mcp;
use prx_store::{OpenError, Store};

/// How long turns at work are waited for when the gateway stops.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked for blobs whose days are over.
const SWEEP: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long deliveries to hooks are waited for then.
const HOOK_PATIENCE: Duration = Duration::from_secs(5);

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

/// The running gateway, without its doors: those are opened by whoever holds it.
pub struct Kernel {
    /// What everything else stands on.
    pub base: Base,
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
    /// Sessions at work.
    pub turns: Turns,
    /// Connections to platforms.
    pub channels: Channels,
    /// Events on their way to whoever registered for them.
    pub hooks: Hooks,
    /// What goes through the doors.
    pub traffic: Traffic,
}

/// What everything else in the gateway stands on.
pub struct Base {
    /// The time.
    pub clock: Clock,
    /// When the gateway was started.
    pub started: Timestamp,
    /// The configuration in force.
    pub config: Live,
    /// The running log.
    pub logs: Logs,
    /// The bus.
    pub events: Events,
    /// The disk.
    pub store: Store,
    /// The way out.
    pub egress: Egress,
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

impl Kernel {
    /// Builds every part and sets it to work. Turns that an earlier process left are taken up at once.
    ///
    /// # Errors
    /// The store can't be opened, or the plugin engine can't be built. A plugin that can't be loaded is no error
    /// here: it is shown as failed.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let Options { loaded, logs, data_dir, safe_mode } = options;
        let base = Base::open(&loaded, logs, &data_dir)?;
        let hooks = base.hooks()?;
        let plugins = base.plugins(data_dir, safe_mode).await?;
        let misfits = settings::check::misfits(&loaded.config, &plugins.known());
        if !misfits.is_empty() {
            return Err(StartError::Config(config::Invalid::of(loaded.file.path(), misfits)));
        }
        let mcp = base.mcp();
        let tools = Tools::new(plugins.clone(), mcp.clone(), base.store.clone(), base.config.clone());
        let memory = Memory::new(base.store.clone());
        let turns = base.turns(&plugins, &tools, &memory);
        let channels = base.channels(&plugins);
        let settings = base.settings(loaded, &plugins, &channels);
        base.sweep_blobs();
        base.announce_logs();
        let traffic = Traffic::default();
        Ok(Self { base, settings, plugins, mcp, tools, memory, turns, channels, hooks, traffic })
    }

    /// Shuts down in order: no new messages, then the turns at work, then what they call and what hooks are told of
    /// it, then the disk.
    pub async fn stop(&self) {
        self.channels.stop().await;
        self.turns.stop(PATIENCE).await;
        self.mcp.stop().await;
        self.hooks.stop(HOOK_PATIENCE).await;
        self.base.store.clone().close().await;
    }
}

impl Base {
    fn open(loaded: &Loaded, logs: Logs, data_dir: &Path) -> Result<Self, StartError> {
        let clock = Clock::system();
        let store = Store::open(data_dir, clock.clone()).map_err(StartError::Store)?;
        Ok(Self {
            started: clock.now(),
            config: Live::new(loaded.config.clone()),
            logs,
            events: store.events().clone(),
            store,
            egress: Egress::new(clock.clone()),
            stopping: CancellationToken::new(),
            clock,
        })
    }

    fn hooks(&self) -> Result<Hooks, StartError> {
        let (clock, config, events) = (self.clock.clone(), self.config.clone(), self.events.clone());
        let base = prx_base::Base { clock, config, events };
        Hooks::start(base, self.store.clone(), self.egress.clone()).map_err(StartError::Other)
    }

    async fn plugins(&self, data_dir: PathBuf, safe_mode: bool) -> Result<Plugins, StartError> {
        let services =
            Services { store: self.store.clone(), egress: self.egress.clone(), clock: self.clock.clone() };
        let parts = prx_host::Parts {
            engine: Engine::new(&data_dir, services).map_err(no_engine)?,
            bundled: BUNDLED,
            data_dir,
            store: self.store.clone(),
            config: self.config.clone(),
            safe_mode,
        };
        Plugins::open(parts).await.map_err(StartError::Other)
    }

    fn mcp(&self) -> Mcp {
        Mcp::start(prx_mcp::Parts {
            clock: self.clock.clone(),
            config: self.config.clone(),
            egress: self.egress.clone(),
            store: self.store.clone(),
        })
    }

    fn turns(&self, plugins: &Plugins, tools: &Tools, memory: &Memory) -> Turns {
        Turns::start(prx_agents::Parts {
            clock: self.clock.clone(),
            config: self.config.clone(),
            events: self.events.clone(),
            store: self.store.clone(),
            plugins: plugins.clone(),
            tools: tools.clone(),
            memory: memory.clone(),
        })
    }

    fn channels(&self, plugins: &Plugins) -> Channels {
        Channels::start(prx_channels::Parts {
            clock: self.clock.clone(),
            config: self.config.clone(),
            events: self.events.clone(),
            store: self.store.clone(),
            egress: self.egress.clone(),
            plugins: plugins.clone(),
        })
    }

    /// Lets go of images and files whose days are over, until the gateway stops.
    fn sweep_blobs(&self) {
        let (clock, config, store) = (self.clock.clone(), self.config.clone(), self.store.clone());
        let sweeping = async move {
            loop {
                let days = config.current().store.blobs_days;
                match store.sweep_blobs(DAY * days).await {
                    Ok(0) => {}
                    Ok(count) => info!(count, "images and files of old messages were let go"),
                    Err(error) => error!(%error, "images and files can't be swept"),
                }
                clock.sleep(SWEEP).await;
            }
        };
        tokio::spawn(self.stopping.clone().run_until_cancelled_owned(sweeping));
    }

    /// Has those who follow the log woken, until the gateway stops.
    fn announce_logs(&self) {
        let announcing = self.logs.recent.clone().announce();
        tokio::spawn(self.stopping.clone().run_until_cancelled_owned(announcing));
    }

    fn settings(&self, loaded: Loaded, plugins: &Plugins, channels: &Channels) -> Settings {
        let reached = settings::Parts {
            clock: self.clock.clone(),
            config: self.config.clone(),
            store: self.store.clone(),
            logs: self.logs.clone(),
            plugins: plugins.clone(),
            channels: channels.clone(),
        };
        Settings::start(loaded, reached, self.stopping.clone())
    }
}

fn no_engine(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StartError {
    let message = "The WebAssembly engine does not run on this machine; its log line says why";
    StartError::Other(Error::new(Code::Internal, message).with_cause(cause))
}
