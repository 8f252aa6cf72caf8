//! One channel from start to shutdown: runs of its connector, one after the other, each with the code there is at its
//! time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{Instrument, warn};

use super::control::{Control, Exit};
use super::health::State;
use super::input::Input;
use super::pump::Pump;
use super::services::Services;
use super::setup::{Setup, plugin};
use super::status::StatusFeed;
use super::swap_progress::SwapProgress;
use prx_base::config::Settings;
use prx_host::{Generation, Status};

/// Inputs that may be queued for a pump before those who send them have to wait, too.
const INPUT_QUEUE: usize = 256;
/// Pause before a channel that could not start is tried again, in seconds.
const START_RETRY_DELAY: Duration = Duration::from_secs(10);

/// The task of one channel.
pub(super) struct Supervisor {
    pub(super) services: Services,
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) status: StatusFeed,
    /// Where inputs of the present run go.
    pub(super) inputs: watch::Sender<Option<mpsc::Sender<Input>>>,
}

/// What the rest of the gateway may change while a channel runs.
struct Changes {
    control: mpsc::Receiver<Control>,
    code: watch::Receiver<Option<Arc<Generation>>>,
}

impl Supervisor {
    /// Runs the connector until the channel is stopped. After a failure of the store it goes on from what is on disk.
    pub(super) async fn run(self, control: mpsc::Receiver<Control>) {
        let code = self.services.plugins.connector(plugin(&self.name, &self.settings));
        let mut changes = Changes { control, code };
        loop {
            let generation = changes.code.borrow_and_update().clone();
            let exit = match generation {
                Some(generation) => self.run_connector(generation, &mut changes).await,
                None => self.wait_for_code(&mut changes).await,
            };
            match exit {
                Exit::Requested(Control::Restart) | Exit::CodeGone | Exit::Silent => {}
                Exit::Requested(Control::Stop) => return,
                Exit::StoreFailed => {
                    if self.wait_for_store(&mut changes.control).await.is_break() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits until the store takes something again, or the channel is stopped.
    async fn wait_for_store(&self, control: &mut mpsc::Receiver<Control>) -> ControlFlow<()> {
        loop {
            tokio::select! {
                () = self.services.store.recovered() => return ControlFlow::Continue(()),
                asked = control.recv() => match asked {
                    // It is about to.
                    Some(Control::Restart) => {}
                    Some(Control::Stop) | None => return ControlFlow::Break(()),
                },
            }
        }
    }

    /// One run of the connector, from `started` to `stopping`.
    async fn run_connector(&self, generation: Arc<Generation>, changes: &mut Changes) -> Exit {
        if self.status.health.borrow().restarts == 0 {
            self.status.set_state(State::Connecting, None);
        }
        let (sender, mut inputs) = mpsc::channel(INPUT_QUEUE);
        let begun = SwapProgress::begun(&generation);
        let started = match Setup::new(&self.name, &self.settings, &generation) {
            Ok(setup) => Pump::start(&self.services, setup, generation, &self.status, sender.clone()).await,
            Err(problems) => Err(format!("channels_config.{}: {problems}", self.name)),
        };
        self.status.swap.send_replace(begun);
        let mut pump = match started {
            Ok(pump) => pump,
            Err(problem) => return self.wait_for_retry(problem, changes).await,
        };
        self.inputs.send_replace(Some(sender.clone()));
        let forwarding = forward(self.services.clone(), self.name.clone(), sender);
        let forwarder = tokio::spawn(forwarding.in_current_span());
        let exit = pump.run(&mut inputs, &mut changes.control, &mut changes.code).await;
        forwarder.abort();
        self.inputs.send_replace(None);
        if matches!(exit, Exit::Requested(Control::Restart)) {
            self.status.set_state(State::Reconnecting, None);
        }
        if matches!(exit, Exit::StoreFailed) {
            pump.cut_off().await;
        } else {
            pump.drain(&mut inputs).await;
            pump.shut_down(!matches!(exit, Exit::Requested(_) | Exit::Silent)).await;
        }
        exit
    }

    /// The channel can't start: says why, and retries after a delay, or when something changes.
    async fn wait_for_retry(&self, problem: String, changes: &mut Changes) -> Exit {
        warn!(problem, "the channel can't start");
        self.status.set_state(State::Disconnected, Some(problem));
        let mut reopened = self.services.store.reopened();
        let clock = &self.services.base.clock;
        let retry_at = clock.now() + START_RETRY_DELAY;
        self.status.health.send_modify(|health| health.next_retry_at = Some(retry_at));
        tokio::select! {
            asked = changes.control.recv() => Exit::Requested(asked.unwrap_or(Control::Stop)),
            _ = changes.code.changed() => Exit::CodeGone,
            // The store may have been what it could not start for.
            _ = reopened.changed() => Exit::Requested(Control::Restart),
            () = clock.sleep(START_RETRY_DELAY) => Exit::Requested(Control::Restart),
        }
    }

    /// There is no code to run: says why, and waits for some.
    async fn wait_for_code(&self, changes: &mut Changes) -> Exit {
        let plugin = plugin(&self.name, &self.settings);
        match self.services.plugins.get(plugin) {
            Ok(status) if status.status == Status::Disabled => self.status.set_state(State::Disabled, None),
            Ok(status) => {
                let reason = status.error.unwrap_or_else(|| "it does not serve now".into());
                self.status.set_state(State::Disconnected, Some(format!("plugin {plugin}: {reason}")));
            }
            Err(_) => {
                let reason = format!("there is no plugin {plugin}: install it, or name another in `plugin`");
                self.status.set_state(State::Disconnected, Some(reason));
            }
        }
        tokio::select! {
            asked = changes.control.recv() => Exit::Requested(asked.unwrap_or(Control::Stop)),
            changed = changes.code.changed() => match changed {
                Ok(()) => Exit::CodeGone,
                // The gateway shuts down.
                Err(_) => Exit::Requested(Control::Stop),
            },
        }
    }
}

/// Sends a pump what comes from the rest of the gateway: new entries of the outbox, and turns that begin.
async fn forward(services: Services, channel: String, inputs: mpsc::Sender<Input>) {
    let outbox = services.store.outbox_ready(&channel);
    let mut activity = services.base.events.activity();
    loop {
        let input = tokio::select! {
            () = outbox.notified() => Input::Outbox,
            reported = activity.recv() => match reported {
                Ok(activity) if activity.channel == channel => Input::Activity(activity),
                // Someone else's, or some were missed: typing is a courtesy.
                _ => continue,
            },
        };
        if inputs.send(input).await.is_err() {
            return;
        }
    }
}
