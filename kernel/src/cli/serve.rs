//! `prx serve`

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::failure::Failure;
use super::notify::Notifier;
use super::paths::Paths;
use super::signals::Signals;
use crate::api::{self, Pipeline};
use crate::gateway::{Gateway, Options, Startup};
use prx_base::Base;
use prx_base::clock::Clock;
use prx_base::config::Overrides;
use prx_base::logs::{Format, Logs};
use prx_host::Progress;
use prx_http::{Network, OwnerSocket};

/// How often the log says at most how far loading the plugins is: every half a second.
const LOG_INTERVAL: SignedDuration = SignedDuration::from_millis(500);
/// How long the last lines of the log may take: half a second.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Listen on this address instead of gateway.host
    #[arg(long)]
    host: Option<String>,
    /// Listen on this port instead of gateway.port; 0 takes any free one
    #[arg(long)]
    port: Option<u16>,
    /// Reload a plugin when its file changes
    #[arg(long)]
    watch: bool,
    /// Load the bundled plugins only
    #[arg(long)]
    safe_mode: bool,
    /// The format of log lines on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Human,
    /// A JSON object a line
    Json,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Human => Self::Human,
            LogFormat::Json => Self::Json,
        }
    }
}

/// Runs the gateway until it is told to stop.
pub(super) async fn run(paths: Paths, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { host, port, watch, safe_mode, log_format } = arguments;
    let loaded = paths.file(Overrides { host, port, watch }).load()?;
    let logs = Logs::start(log_format.into(), &loaded.config.logs).map_err(Failure::new)?;
    raise_file_limit();
    let signals = Signals::new(logs.clone());
    signals.clone().obey()?;
    let network = Network::bind(&loaded.config.gateway).await?;
    let url = network.url()?;
    let startup = Startup::open(Options {
        loaded,
        logs,
        data_dir: paths.data_dir.clone(),
        safe_mode,
        stopping: signals.stopping.clone(),
        reload: signals.reload.clone(),
        certificate: network.certificate(),
        url: url.clone(),
    })?;
    let owner = match OwnerSocket::bind(&paths.data_dir) {
        Ok(owner) => owner,
        Err(error) => {
            startup.close().await;
            return Err(error.into());
        }
    };
    let (stopping, logs) = (startup.process.stopping.clone(), startup.process.logs.clone());
    let Base { clock, config, .. } = startup.base.clone();
    signals.set_config(config.clone());
    let pipeline = Arc::new(Pipeline::new(config, clock, startup.process.traffic.clone()));
    let serving = prx_http::serve(network, owner, pipeline.clone(), stopping.clone().cancelled_owned());
    // However serving ends, the rest does not outlive it.
    let ended = stopping.clone().drop_guard();
    let serving = tokio::spawn(async move {
        let _ended = ended;
        serving.await;
    });
    let notifier = Notifier::start(startup.base.clock.clone(), stopping.clone());
    let (gateway, started) = match start(&startup, &pipeline, &notifier).await {
        Ok(Some(gateway)) => (Some(gateway), notifier.ready(&url)),
        Ok(None) => (None, Ok(())),
        Err(failure) => (None, Err(failure)),
    };
    if started.is_err() {
        stopping.cancel();
    }
    stopping.cancelled().await;
    let store = startup.store.clone();
    let mut served = Ok(());
    let serving = async { served = serving.await.map_err(Failure::new) };
    match gateway {
        Some(gateway) => gateway.stop(serving).await,
        None => {
            serving.await;
            startup.close().await;
        }
    }
    logs.flush(FLUSH_TIMEOUT);
    started.and(served).and(store.problem().map_or(Ok(()), |problem| Err(unflushed(&problem))))
}

/// The disk does not have all that it was given.
fn unflushed(problem: &str) -> Failure {
    let message =
        "the store could not be brought to disk at the end; what was acknowledged before it failed is there";
    Failure::new(format!("{message}: {problem}"))
}

/// Starts the gateway and lets it answer; none if it is told to stop before its plugins are loaded.
async fn start(
    startup: &Startup,
    pipeline: &Pipeline,
    notifier: &Notifier,
) -> Result<Option<Arc<Gateway>>, Failure> {
    let router = api::router()?;
    let mut reports =
        Reports { pipeline, notifier, clock: startup.base.clock.clone(), logged_at: startup.process.started };
    let starting = startup.start(|progress| reports.tell(progress));
    let started = startup.process.stopping.run_until_cancelled(starting).await;
    let Some(gateway) = started.transpose()?.map(Arc::new) else { return Ok(None) };
    pipeline.ready(gateway.clone(), router, gateway.store.clone());
    Ok(Some(gateway))
}

/// Says how far loading the plugins is.
struct Reports<'a> {
    pipeline: &'a Pipeline,
    notifier: &'a Notifier,
    clock: Clock,
    logged_at: Timestamp,
}

impl Reports<'_> {
    fn tell(&mut self, Progress { loaded, total }: Progress) {
        self.pipeline.set_progress(format!("plugins {loaded} of {total}"));
        self.notifier.status(&format!("loading plugins, {loaded} of {total}"));
        let now = self.clock.now();
        // Where all of them are compiled already, there is nothing to wait for and nothing to say.
        if now.duration_since(self.logged_at) >= LOG_INTERVAL {
            self.logged_at = now;
            tracing::info!("compiling plugins ({loaded} of {total})");
        }
    }
}

/// Connections are files, and by default a process may have only a few of them.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "there can't be more than {:?} connections and files", limit.current);
    }
}
