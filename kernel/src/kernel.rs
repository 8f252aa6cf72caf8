//! The composition root: what the gateway is made of, built in order and shut down in the reverse.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub use self::settings::Settings;
use crate::channel::{self, Channels};
use crate::clock::Clock;
use crate::config::{self, Live, Loaded};
use crate::egress::Egress;
use crate::error::{Code, Error};
use crate::events::Events;
use crate::http::Traffic;
use crate::logs::Logs;
use crate::mcp::{self, Mcp};
use crate::plugin::{self, Engine, Plugins, Services};
use crate::session::{self, Turns};
use crate::store::{OpenError, Store};
use crate::tool::Tools;
use crate::webhook::{self, Hooks};

pub(crate) mod settings;

/// Events that a listener on the bus may fall behind.
const BUS_CAPACITY: usize = 1024;
/// How long turns at work are waited for when the gateway stops.
const PATIENCE: Duration = Duration::from_secs(10);
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
    /// The time.
    pub clock: Clock,
    /// The configuration in force.
    pub config: Live,
    /// Its file, and changes to both.
    pub settings: Settings,
    /// The running log.
    pub logs: Logs,
    /// The bus.
    pub events: Events,
    /// The disk.
    pub store: Store,
    /// The components.
    pub plugins: Plugins,
    /// Connections to MCP servers.
    pub mcp: Mcp,
    /// The tools of both.
    pub tools: Tools,
    /// Sessions at work.
    pub turns: Turns,
    /// Connections to platforms.
    pub channels: Channels,
    /// What goes through the doors.
    pub traffic: Traffic,
    /// Events on their way to whoever registered for them.
    pub hooks: Hooks,
    /// Cancelled when the gateway begins to stop.
    pub stopping: CancellationToken,
    /// When the gateway was started.
    pub started: Timestamp,
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
        let clock = Clock::system();
        let started = clock.now();
        let config = Live::new(options.loaded.config.clone());
        let events = Events::new(clock.clone(), BUS_CAPACITY);
        let store = Store::open(&options.data_dir, clock.clone()).map_err(StartError::Store)?;
        let egress = Egress::new(clock.clone());
        let hooks = Hooks::start(webhook::Parts {
            clock: clock.clone(),
            config: config.clone(),
            events: events.clone(),
            store: store.clone(),
            egress: egress.clone(),
        });
        let hooks = hooks.map_err(StartError::Other)?;
        let services = Services { store: store.clone(), egress: egress.clone(), clock: clock.clone() };
        let engine = Engine::new(&options.data_dir, services).map_err(|error| {
            let message = "The WebAssembly engine does not run on this machine; its log line says why";
            StartError::Other(Error::new(Code::Internal, message).with_cause(error))
        })?;
        let parts = plugin::Parts {
            data_dir: options.data_dir,
            engine,
            store: store.clone(),
            events: events.clone(),
            config: config.clone(),
            safe_mode: options.safe_mode,
        };
        let plugins = Plugins::open(parts).await.map_err(StartError::Other)?;
        let known = plugins.known();
        let misfits = settings::check::misfits(&config.current(), &known);
        if !misfits.is_empty() {
            return Err(StartError::Config(config::Invalid::of(options.loaded.file.path(), misfits)));
        }
        let mcp =
            Mcp::start(mcp::Parts { clock: clock.clone(), config: config.clone(), egress: egress.clone() });
        let tools = Tools::new(plugins.clone(), mcp.clone(), events.clone());
        let turns = Turns::start(session::Parts {
            clock: clock.clone(),
            config: config.clone(),
            events: events.clone(),
            store: store.clone(),
            plugins: plugins.clone(),
            tools: tools.clone(),
        });
        let channels = Channels::start(channel::Parts {
            clock: clock.clone(),
            config: config.clone(),
            events: events.clone(),
            store: store.clone(),
            egress,
            plugins: plugins.clone(),
        });
        let stopping = CancellationToken::new();
        let reached = settings::Parts {
            clock: clock.clone(),
            config: config.clone(),
            events: events.clone(),
            logs: options.logs.clone(),
            plugins: plugins.clone(),
            channels: channels.clone(),
        };
        let settings = Settings::start(options.loaded, reached, stopping.clone());
        let logs = options.logs;
        Ok(Self {
            clock,
            config,
            settings,
            logs,
            events,
            store,
            plugins,
            mcp,
            tools,
            turns,
            channels,
            hooks,
            stopping,
            traffic: Traffic::default(),
            started,
        })
    }

    /// Shuts down in order: no new messages, then the turns at work, then what they call and what hooks are told of
    /// it, then the disk.
    pub async fn stop(&self) {
        self.channels.stop().await;
        self.turns.stop(PATIENCE).await;
        self.mcp.stop().await;
        self.hooks.stop(HOOK_PATIENCE).await;
        self.store.clone().close().await;
    }
}
