//! `prx serve`

use std::sync::Arc;

use clap::ValueEnum;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use super::output::say;
use super::paths::Paths;
use crate::api;
use crate::gateway::{Options, Startup};
use prx_base::config::Overrides;
use prx_base::logs::{Format, Logs};
use prx_http::{Network, OwnerSocket};

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
    /// How log lines on standard error look
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
    let stop = Stop::listen()?;
    let network = Network::bind(&loaded.config.gateway).await?;
    let url = network.url()?;
    let options = Options { loaded, logs, data_dir: paths.data_dir.clone(), safe_mode };
    let gateway = Arc::new(Startup::open(options)?.start().await?);
    let served = match OwnerSocket::bind(&paths.data_dir) {
        Ok(owner) => {
            say(&format!("listening on {url}"))?;
            api::serve(gateway.clone(), network, owner, stop.asked()).await.map_err(Failure::new)
        }
        Err(error) => Err(error.into()),
    };
    gateway.stop().await;
    served
}

/// Connections are files, and by default a process may have only a few of them.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "there can't be more than {:?} connections and files", limit.current);
    }
}

/// The signals by which a gateway is told to stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::info!("stopping");
    }
}
