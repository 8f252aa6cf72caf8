//! What the gateway tells the service manager that has started it: `sd_notify(3)`, by systemd and those that do as it does.

use std::env;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::terminal::say;
use prx_base::clock::Clock;

/// How long it may take to take something in.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Tells it where it listens; does nothing where nobody does.
#[derive(Clone)]
pub(super) struct Notifier {
    address: Option<SocketAddr>,
    /// How often it wants to hear that the gateway lives, at least.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the environment says. From here on it says that the gateway lives, twice as often as it has to, until it stops.
    /// Where tasks are not worked on any more, neither is this, and the service manager ends the process.
    pub(super) fn start(clock: Clock, stopping: CancellationToken) -> Self {
        let notifier = Self::from_environment();
        let living = notifier.clone();
        tokio::spawn(async move {
            stopping.run_until_cancelled(living.live(clock)).await;
            stopping.cancelled().await;
            living.tell("STOPPING=1\nSTATUS=stopping");
        });
        notifier
    }

    fn from_environment() -> Self {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let address = set("NOTIFY_SOCKET").and_then(|path| match path.strip_prefix('@') {
            Some(name) => abstract_address(name),
            None => SocketAddr::from_pathname(path).ok(),
        });
        // It may be meant for the process that has started this one.
        let own = std::process::id().to_string();
        let is_meant = set("WATCHDOG_PID").is_none_or(|process| process == own);
        let micros = set("WATCHDOG_USEC").and_then(|micros| micros.parse().ok()).filter(|_| is_meant);
        Self { address, watchdog: micros.map(Duration::from_micros).filter(|limit| !limit.is_zero()) }
    }

    /// Everything is loaded, and requests are answered: that is printed, too.
    pub(super) fn ready(&self, url: &str) -> Result<(), Failure> {
        self.tell(&format!("READY=1\nSTATUS=listening on {url}"));
        say(&format!("listening on {url}"))
    }

    /// What it is at.
    pub(super) fn status(&self, what: &str) {
        self.tell(&format!("STATUS={what}"));
    }

    async fn live(&self, clock: Clock) {
        let Some(interval) = self.watchdog.filter(|_| self.address.is_some()) else { return };
        loop {
            self.tell("WATCHDOG=1");
            clock.sleep(interval / 2).await;
        }
    }

    fn tell(&self, what: &str) {
        let Some(address) = &self.address else { return };
        let sent = || {
            let socket = UnixDatagram::unbound()?;
            // A service manager that takes nothing keeps nobody for long.
            socket.set_write_timeout(Some(SEND_TIMEOUT))?;
            socket.send_to_addr(what.as_bytes(), address)?;
            io::Result::Ok(())
        };
        if let Err(error) = sent() {
            tracing::warn!(%error, "the service manager can't be told: {}", what.replace('\n', ", "));
        }
    }
}

/// A socket that is no file.
#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> Option<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;

    SocketAddr::from_abstract_name(name).ok()
}

/// There are none here.
#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &str) -> Option<SocketAddr> {
    None
}
