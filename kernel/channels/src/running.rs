//! One running channel, as the handle to all of them holds it: from its start to its shutdown.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{Instrument, warn};

use super::control::Control;
use super::health::Health;
use super::log::span;
use super::services::Services;
use super::setup::plugin;
use super::status::StatusFeed;
use super::supervise::Supervisor;
use super::swap_progress::SwapProgress;
use super::webhooks::Webhooks;
use prx_base::config::Settings;

/// How long the shutdown of a channel that is configured anew may take, in seconds, before its task is aborted. One whose
/// connector answers has ended long before.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);
/// Control requests that may be pending.
const CONTROL_QUEUE: usize = 4;

/// A channel that runs, and how it is reached.
pub(super) struct Running {
    pub(super) settings: Settings,
    pub(super) health: watch::Receiver<Health>,
    pub(super) swap: watch::Receiver<SwapProgress>,
    pub(super) control: mpsc::Sender<Control>,
    pub(super) webhooks: Arc<Webhooks>,
    /// None: it is being stopped, for its configuration has changed.
    pub(super) task: Option<JoinHandle<()>>,
}

/// A channel in shutdown.
pub(super) struct Stopping {
    name: String,
    control: mpsc::Sender<Control>,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts a channel.
    pub(super) fn start(services: &Services, name: &str, settings: &Settings) -> Self {
        let (control, requests) = mpsc::channel(CONTROL_QUEUE);
        let (inputs, current_inputs) = watch::channel(None);
        let status = StatusFeed::new(services.base.clone(), services.store.clone(), name.into());
        let (health, swap) = (status.health.subscribe(), status.swap.subscribe());
        let code = services.plugins.connector(plugin(name, settings));
        let webhooks = Arc::new(Webhooks::new(name, settings, code, current_inputs));
        let supervisor = Supervisor {
            services: services.clone(),
            name: name.into(),
            settings: settings.clone(),
            status,
            inputs,
        };
        let task = tokio::spawn(supervisor.run(requests).instrument(span(name)));
        Self { settings: settings.clone(), health, swap, control, webhooks, task: Some(task) }
    }

    /// What there is to stop of it; None when its shutdown has begun already.
    pub(super) fn begin_shutdown(&mut self, name: String) -> Option<Stopping> {
        let task = self.task.take()?;
        Some(Stopping { name, control: self.control.clone(), task })
    }
}

/// Stops channels side by side, and returns when all have ended.
pub(super) async fn stop_all(channels: impl IntoIterator<Item = Stopping>, limit: Duration) {
    join_all(channels.into_iter().map(|channel| channel.stop(limit))).await;
}

impl Stopping {
    /// Closes it politely. After the timeout its task is aborted, as by a crash.
    async fn stop(mut self, shutdown_timeout: Duration) {
        let stopping = async {
            // A channel that no longer listens has stopped already.
            let _ = self.control.send(Control::Stop).await;
            (&mut self.task).await
        };
        match timeout(shutdown_timeout, stopping).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => warn!(name = self.name, "the channel's task ended by a defect"),
            Err(_) => {
                warn!(name = self.name, "the channel did not close in time, and is cut off");
                self.task.abort();
                let _ = self.task.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_channel_that_does_not_close_keeps_nobody_waiting() {
        let (control, mut asked) = mpsc::channel(1);
        let gone = Arc::new(());
        let held = gone.clone();
        let task = tokio::spawn(async move {
            let _held = held;
            std::future::pending().await
        });
        Stopping { name: "stuck".into(), control, task }.stop(Duration::from_millis(1)).await;
        assert_eq!(asked.recv().await, Some(Control::Stop), "it was asked first");
        assert_eq!(Arc::strong_count(&gone), 1, "nothing of it is left");
    }
}
