//! The composition root: what the gateway is made of, started in order and shut down in the reverse.

use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::bundled::BUNDLED;
use crate::retention;
use crate::settings::{self, AtStart, Settings};
use crate::stats::Stats;
use crate::telemetry::Telemetry;
use prx_agents::Turns;
use prx_agents::tool::Tools;
use prx_background::{Actors, Jobs, Lanes, Observers};
use prx_base::Base;
use prx_base::clock::{self, Clock};
use prx_base::config::{self, Live, Loaded};
use prx_base::error::{Code, Error};
use prx_base::logs::Logs;
use prx_channels::Channels;
use prx_egress::Egress;
use prx_hooks::Hooks;
use prx_host::memory::Memory;
use prx_host::{Compiler, Engine, Filters, Plugins, Progress, Services};
use prx_http::{Certificate, Codes, Traffic};
use prx_mcp::Mcp;
use prx_mcp::door::Door;
use prx_store::{OpenError, Store};

/// The share of `gateway.stop_secs` that is over at most when channels are closed. Those that are not are cut off.
const CHANNELS_CLOSED: f64 = 0.3;
/// The same for running turns, of which each side effect is on disk.
const TURNS_ENDED: f64 = 0.7;
/// The same for what they call, and for deliveries to hooks.
const CALLS_ENDED: f64 = 0.85;
/// The same for the last spans of traces. The rest is for the disk.
const SPANS_SENT: f64 = 0.9;

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
    /// Cancelled when the gateway is to stop.
    pub stopping: CancellationToken,
    /// Changes when the files that the gateway works by are to be read again.
    pub reload: watch::Sender<()>,
    /// What is shown to those who connect by TLS.
    pub certificate: Option<Certificate>,
    /// Where the gateway listens.
    pub url: String,
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
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The configuration's file, and changes to both.
    pub settings: Settings,
    /// The components.
    pub plugins: Plugins,
    /// Connections to MCP servers.
    pub mcp: Mcp,
    /// The tools of both.
    pub tools: Tools,
    /// What keeps agents from answering.
    pub(crate) agents: settings::agents::Agents,
    /// What MCP clients are being answered.
    pub door: Door,
    /// What is remembered of people.
    pub memory: Memory,
    /// The turns of sessions.
    pub turns: Turns,
    /// Connections to platforms.
    pub channels: Channels,
    /// Deliveries of events to those who registered for them.
    pub hooks: Hooks,
    /// What plugins do at set times.
    pub jobs: Jobs,
    /// Plugins that are told what happens.
    pub observers: Observers,
    /// Plugins that look at what flows.
    pub filters: Filters,
    /// One-time codes for tokens.
    pub codes: Codes,
    /// The series behind the charts.
    pub(crate) stats: Stats,
    /// What sends traces to a collector.
    pub(crate) telemetry: Telemetry,
}

/// What concerns the process as a whole.
#[derive(Debug, Clone)]
pub struct Process {
    /// When it was started.
    pub started: Timestamp,
    /// Runs since then, whatever becomes of the clock.
    pub running: Instant,
    /// The running log.
    pub logs: Logs,
    /// Counts of requests and connections.
    pub traffic: Traffic,
    /// Cancelled when the gateway begins to stop.
    pub stopping: CancellationToken,
    /// What is shown to those who connect by TLS.
    pub certificate: Option<Certificate>,
    /// Where it listens.
    pub url: String,
}

impl Process {
    /// How long the process has run.
    pub fn uptime(&self) -> Duration {
        self.running.elapsed()
    }
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
            running: clock::stopwatch(),
            logs: options.logs.clone(),
            traffic: Traffic::default(),
            stopping: options.stopping.clone(),
            certificate: options.certificate.clone(),
            url: options.url.clone(),
        };
        if let Some(certificate) = process.certificate.clone() {
            let following = certificate.follow(clock.clone(), options.reload.subscribe());
            tokio::spawn(process.stopping.clone().run_until_cancelled_owned(following));
        }
        let announcing = process.logs.recent.clone().announce();
        tokio::spawn(process.stopping.clone().run_until_cancelled_owned(announcing));
        let repeats = process.logs.repeats.clone().tell();
        tokio::spawn(process.stopping.clone().run_until_cancelled_owned(repeats));
        let store = Store::open(&options.data_dir, clock.clone()).map_err(StartError::Store)?;
        let config = Live::new(options.loaded.config.clone());
        let base = Base::new(clock.clone(), config, store.events().clone());
        let egress = Egress::following(clock, base.config.clone());
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
        // Before what an earlier run has left is taken up.
        let (stats, telemetry) = self.keep_house();
        let following = plugins.follow_skills().await;
        tokio::spawn(process.stopping.clone().run_until_cancelled_owned(following));
        let loaded = options.loaded.clone();
        let mcp = Mcp::start(base.clone(), store.clone(), egress.clone());
        let filters = Filters::new(base.clone(), plugins.clone());
        let tools = self.tools(&plugins, &mcp, &filters);
        let memory = Memory::new(store.clone());
        let turns = Turns::start(base.clone(), store.clone(), plugins.clone(), tools.clone(), memory.clone());
        let channels = {
            let (base, store, egress) = (base.clone(), store.clone(), egress.clone());
            Channels::start(base, store, egress, plugins.clone(), prx_agents::command)
        };
        let actors = Actors { plugins: plugins.clone(), filters: filters.clone(), lanes: Lanes::default() };
        let jobs = Jobs::start(base.clone(), store.clone(), actors.clone());
        let observers = Observers::start(base.clone(), store.clone(), actors);
        let dependents = settings::Dependents {
            store: store.clone(),
            logs: process.logs.clone(),
            plugins: plugins.clone(),
            channels: channels.clone(),
            mcp: mcp.clone(),
        };
        let reload = options.reload.subscribe();
        let settings = Settings::start(base.clone(), loaded, dependents, (process.stopping.clone(), reload));
        let agents = settings::agents::Agents {
            base: base.clone(),
            plugins: plugins.clone(),
            tools: tools.clone(),
            mcp: mcp.clone(),
        };
        tokio::spawn(process.stopping.clone().run_until_cancelled_owned(agents.clone().follow()));
        let (base, store, process, hooks) = (base.clone(), store.clone(), process.clone(), hooks.clone());
        let (door, codes) = (Door::default(), Codes::default());
        Ok(Gateway {
            base,
            store,
            process,
            data_dir: options.data_dir.clone(),
            settings,
            plugins,
            mcp,
            tools,
            agents,
            door,
            memory,
            turns,
            channels,
            hooks,
            jobs,
            observers,
            filters,
            codes,
            stats,
            telemetry,
        })
    }

    /// Starts what looks after the process and the store, and what tells of both.
    fn keep_house(&self) -> (Stats, Telemetry) {
        let Self { base, store, egress, process, .. } = self;
        #[cfg(target_os = "linux")]
        tokio::spawn(crate::reaper::run(base.clock.clone(), process.stopping.clone()));
        let sweeping = retention::run(base.clone(), store.clone());
        tokio::spawn(process.stopping.clone().run_until_cancelled_owned(sweeping));
        let stats = Stats::new(base.clone(), store.clone());
        tokio::spawn(process.stopping.clone().run_until_cancelled_owned(stats.clone().run()));
        (stats, Telemetry::start(base.clone(), egress.clone()))
    }

    fn tools(&self, plugins: &Plugins, mcp: &Mcp, filters: &Filters) -> Tools {
        let Self { base, store, .. } = self;
        Tools::new(base.clone(), store.clone(), plugins.clone(), mcp.clone(), filters.clone())
    }

    async fn load_plugins(&self, mut progress: impl FnMut(Progress)) -> Result<Plugins, StartError> {
        let Self { options, base, store, egress, process, .. } = self;
        let services = Services { store: store.clone(), egress: egress.clone(), clock: base.clock.clone() };
        let engine = Engine::new(&options.data_dir, services).map_err(no_engine)?;
        let compiler = Compiler::own_program().map_err(no_engine)?;
        let engine = engine.with_compiler(compiler, process.stopping.clone());
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
        let limit = self.base.config.current().gateway.stop_share(CALLS_ENDED);
        self.hooks.stop(limit).await;
        self.store.close().await;
    }
}

impl Gateway {
    /// Shuts down in order, within `gateway.stop_secs`: no new messages, then running turns, then what they call and the
    /// deliveries to hooks, then the disk, once `served` says that no request is being answered any more. What does not
    /// end in time is cut off, and taken up again by the next start.
    pub async fn stop(&self, served: impl Future<Output = ()>) {
        let gateway = self.base.config.current().gateway.clone();
        let began = clock::stopwatch();
        let left = |share| gateway.stop_share(share).saturating_sub(began.elapsed());
        self.channels.stop(left(CHANNELS_CLOSED)).await;
        self.turns.stop(left(TURNS_ENDED)).await;
        let limit = left(CALLS_ENDED);
        tokio::join!(
            self.mcp.stop(limit),
            self.hooks.stop(limit),
            self.jobs.stop(limit),
            self.observers.stop(limit),
            served
        );
        self.stats.keep().await;
        self.telemetry.stop(left(SPANS_SENT)).await;
        self.store.clone().close().await;
    }
}

fn no_engine(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StartError {
    let message = "The WebAssembly engine does not run on this machine; its log line says why";
    StartError::Other(Error::new(Code::Internal, message).with_cause(cause))
}
