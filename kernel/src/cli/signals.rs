//! What the gateway does at a signal. Signals have a thread of their own, so that they are obeyed whatever else computes.

use std::io;
use std::process;
use std::sync::{Arc, OnceLock, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use prx_base::config::Live;
use prx_base::logs::Logs;

/// What is added to a signal's number to make the exit code of a process that it has ended.
const ENDED_BY: i32 = 128;
/// The exit code of a stop that did not come to its end in time.
const TOO_LATE: i32 = 1;
/// How long the last lines of the log may take where the process is ended at once: 0.2 seconds.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

/// What signals change.
#[derive(Clone)]
pub(super) struct Signals {
    /// Cancelled by the first signal to stop.
    pub(super) stopping: CancellationToken,
    /// Changes when the files that the gateway works by are to be read again.
    pub(super) reload: watch::Sender<()>,
    /// Says how long a stop may take, once that is known.
    config: Arc<OnceLock<Live>>,
    logs: Logs,
}

/// The signals that are listened for.
struct Listeners {
    stop: Vec<(Signal, unix::Signal)>,
    reload: unix::Signal,
    ignored: Vec<(Signal, unix::Signal)>,
}

/// What a signal asks for.
enum Asked {
    Stop(Signal),
    Reload,
    Nothing(Signal),
}

impl Signals {
    /// Nothing is stopped or read again yet.
    pub(super) fn new(logs: Logs) -> Self {
        let (stopping, reload, config) = (CancellationToken::new(), watch::Sender::new(()), Arc::default());
        Self { stopping, reload, config, logs }
    }

    /// From here on a stop may take as long as the configuration says.
    pub(super) fn set_config(&self, config: Live) {
        // There is one, and it is followed as it changes.
        let _ = self.config.set(config);
    }

    /// Obeys signals from here on: TERM, INT and QUIT stop the gateway, a second of them at once; HUP has files read again, and the log's file opened
    /// anew;
    /// USR1 and USR2 do nothing; XFSZ makes a write fail that is larger than a file may be.
    ///
    /// # Errors
    /// The system gives no thread, or refuses.
    pub(super) fn obey(self) -> io::Result<()> {
        let (ready, listening) = mpsc::channel();
        thread::Builder::new().name("signals".into()).spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(async {
                match Listeners::listen() {
                    Ok(listeners) => {
                        let _ = ready.send(Ok(()));
                        self.follow(listeners).await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        })?;
        listening.recv().map_err(io::Error::other)?
    }

    async fn follow(self, mut listeners: Listeners) {
        loop {
            let asked = tokio::select! {
                asked = listeners.next() => asked,
                () = self.stop_limit() => {
                    tracing::error!("the stop took longer than gateway.stop_secs; what has not ended is cut off");
                    self.end(TOO_LATE)
                }
            };
            match asked {
                Asked::Stop(signal) if self.stopping.is_cancelled() => {
                    tracing::warn!("stopping at once; the next start takes up what is cut off");
                    self.end(ENDED_BY + signal.as_raw())
                }
                Asked::Stop(_) => {
                    tracing::info!("stopping");
                    self.stopping.cancel();
                }
                Asked::Reload => {
                    tracing::info!("the configuration and the certificate are read again");
                    self.logs.reopen();
                    self.reload.send_replace(());
                }
                Asked::Nothing(signal) => {
                    tracing::info!(signal = signal.as_raw(), "this signal means nothing to the gateway");
                }
            }
        }
    }

    /// Ends when a stop has taken as long as it may.
    async fn stop_limit(&self) {
        self.stopping.cancelled().await;
        let gateway = self.config.get().map(|config| config.current().gateway.clone());
        tokio::time::sleep(gateway.unwrap_or_default().stop_share(1.0)).await;
    }

    fn end(&self, code: i32) -> ! {
        self.logs.flush(FLUSH_TIMEOUT);
        process::exit(code)
    }
}

impl Listeners {
    fn listen() -> io::Result<Self> {
        let on = |name: Signal| Ok::<_, io::Error>((name, signal(SignalKind::from_raw(name.as_raw()))?));
        Ok(Self {
            stop: [Signal::TERM, Signal::INT, Signal::QUIT].map(on).into_iter().collect::<Result<_, _>>()?,
            reload: signal(SignalKind::hangup())?,
            ignored: [Signal::USR1, Signal::USR2, Signal::XFSZ]
                .map(on)
                .into_iter()
                .collect::<Result<_, _>>()?,
        })
    }

    async fn next(&mut self) -> Asked {
        std::future::poll_fn(|context| {
            let mut came = |signals: &mut Vec<(Signal, unix::Signal)>| {
                let came = signals
                    .iter_mut()
                    .find_map(|(name, listener)| listener.poll_recv(context).is_ready().then_some(*name));
                came.map_or(Poll::Pending, Poll::Ready)
            };
            if let Poll::Ready(signal) = came(&mut self.stop) {
                return Poll::Ready(Asked::Stop(signal));
            }
            if let Poll::Ready(signal) = came(&mut self.ignored) {
                return Poll::Ready(Asked::Nothing(signal));
            }
            self.reload.poll_recv(context).map(|_| Asked::Reload)
        })
        .await
    }
}
