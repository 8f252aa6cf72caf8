//! Channels: each configured one is a task of its own that runs its connector, from what the platform says to
//! committed messages, and from committed replies to what the platform is asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{Instrument, info, warn};

pub use self::exchange::describe;
pub use self::health::{Health, Last, State};
use self::input::Input;
use self::pump::{Ended, Pump, Told, forward, span};
use self::setup::Setup;
pub use self::setup::{check, plugin};
pub use self::swap::Swap;
use self::swap::{Standing, outcome};
use self::webhooks::Door;
pub use self::webhooks::{Webhook, WebhookReply};
use prx_base::clock::Clock;
use prx_base::config::{Live, Settings};
use prx_base::error::{Error, Result};
use prx_base::events::{Events, Kind, NewEvent};
use prx_egress::Egress;
use prx_host::{Generation, Placed, Plugins, Status};
use prx_store::Store;

mod blobs;
mod bounds;
mod code;
mod exchange;
mod health;
mod input;
mod keepalive;
mod outbound;
mod pump;
mod requests;
mod setup;
mod showing;
mod socket;
mod sockets;
mod step;
mod streams;
mod swap;
mod timers;
mod verification;
mod watchdog;
mod webhooks;

/// Inputs that wait for a pump before those who send them have to wait, too.
const INPUTS: usize = 256;
/// How long a channel that could not start rests before it is tried again.
const REST: Duration = Duration::from_secs(10);

/// How long a channel that is to stop may take for it. It has done so long before, if its connector answers.
const LEAVE: Duration = Duration::from_secs(20);

/// What every channel works with.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// The configuration in force.
    pub config: Live,
    /// The bus.
    pub events: Events,
    /// The disk.
    pub store: Store,
    /// The way out.
    pub egress: Egress,
    /// The code.
    pub plugins: Plugins,
}

/// What a channel can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Close politely and end.
    Stop,
    /// Close politely, then connect anew.
    Restart,
}

/// How a channel stands, for `GET /channels`.
#[derive(Debug, Clone)]
pub struct ChannelStatus {
    /// Its name in `channels_config`.
    pub name: String,
    /// The plugin that serves it.
    pub plugin: String,
    /// Whether its platform hears us.
    pub state: State,
    /// What is wrong, and what to do about it.
    pub error: Option<String>,
    /// When the present connection was made.
    pub connected_at: Option<Timestamp>,
    /// Round trip of the last real call, in milliseconds.
    pub latency_ms: Option<u32>,
    /// Since when it stands like this.
    pub since: Timestamp,
    /// When something will be tried that may bring it back.
    pub next_retry_at: Option<Timestamp>,
    /// What happened last.
    pub last: Last,
}

/// A cheap-clone handle to all configured channels.
#[derive(Clone)]
pub struct Channels {
    parts: Parts,
    running: Arc<Mutex<BTreeMap<String, Running>>>,
}

struct Running {
    settings: Settings,
    health: watch::Receiver<Health>,
    standing: watch::Receiver<Standing>,
    control: mpsc::Sender<Control>,
    door: Arc<Door>,
    /// None: it is being stopped, for its configuration has changed.
    task: Option<JoinHandle<()>>,
}

impl Channels {
    /// Starts every configured channel, and from then on follows the configuration.
    pub fn start(parts: Parts) -> Self {
        let channels = Self { parts, running: Arc::default() };
        let mut changes = channels.parts.config.subscribe();
        channels.start_missing();
        let following = channels.clone();
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                following.stop_changed().await;
                following.start_missing();
            }
        });
        channels
    }

    /// Every configured channel, by name.
    pub fn list(&self) -> Vec<ChannelStatus> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |(name, channel): (&String, &Running)| {
            let health = channel.health.borrow();
            let (state, error, since) = health.at(self.parts.clock.now());
            ChannelStatus {
                name: name.clone(),
                plugin: plugin(name, &channel.settings).into(),
                connected_at: health.connected_at.filter(|_| state == State::Connected),
                state,
                error,
                latency_ms: health.latency_ms,
                since,
                next_retry_at: health.next_retry_at,
                last: health.last.clone(),
            }
        };
        running.iter().map(status).collect()
    }

    /// One channel.
    ///
    /// # Errors
    /// `not_found` when none of that name is configured.
    pub fn get(&self, name: &str) -> Result<ChannelStatus> {
        let found = self.list().into_iter().find(|channel| channel.name == name);
        found.ok_or_else(|| Error::not_found("Channel", name))
    }

    /// Has a channel close its connection, and connect anew once that is done.
    ///
    /// # Errors
    /// `not_found` when none of that name is configured; `conflict` when its plugin is disabled.
    pub fn restart(&self, name: &str) -> Result<()> {
        let ChannelStatus { state, plugin, .. } = self.get(name)?;
        if state == State::Disabled {
            let message = format!("Channel {name} can't connect: its plugin {plugin} is disabled; enable it");
            return Err(Error::conflict(message));
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(channel) = running.get_mut(name) else { return Err(Error::not_found("Channel", name)) };
        if channel.task.is_none() {
            // It will be, with its new configuration.
            return Ok(());
        }
        match channel.control.try_send(Control::Restart) {
            // It is asked to already.
            Ok(()) | Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Closed(_)) => *channel = start(&self.parts, name, &channel.settings),
        }
        Ok(())
    }

    /// Restarts the channels of a plugin, for what it is granted has changed.
    pub fn restart_those_of(&self, plugin: &str) {
        for channel in self.list().into_iter().filter(|channel| channel.plugin == plugin) {
            // One that is disabled or gone by now has nothing to restart.
            let _ = self.restart(&channel.name);
        }
    }

    /// What came of code that was put in a plugin's place, once its channels have taken it over and tried it, or after
    /// a while. None: it has no channels, or does not serve.
    pub async fn swapped(&self, placed: &Placed) -> Option<Swap> {
        let status = self.parts.plugins.get(&placed.name).ok()?;
        let standings: Vec<_> = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let its = running.iter().filter(|(name, channel)| plugin(name, &channel.settings) == placed.name);
            its.map(|(_, channel)| outcome(channel.standing.clone(), placed.to)).collect()
        };
        if standings.is_empty() || status.status != Status::Loaded {
            return None;
        }
        let swaps = join_all(standings).await;
        Some(swaps.into_iter().flatten().fold(Swap::default(), Swap::and))
    }

    /// Closes every channel politely, and returns when all are closed.
    pub async fn stop(&self) {
        let all = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        stop_all(all.into_iter().filter_map(|(name, mut channel)| channel.leave(name))).await;
    }

    /// Stops the channels that are configured otherwise than they run. They are listed, and their addresses known,
    /// until others take their place.
    async fn stop_changed(&self) {
        let config = self.parts.config.current();
        let wanted = &config.components.channels_config;
        let changed: Vec<Leaving> = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let changed =
                running.iter_mut().filter(|(name, channel)| wanted.get(*name) != Some(&channel.settings));
            changed.filter_map(|(name, channel)| channel.leave(name.clone())).collect()
        };
        stop_all(changed).await;
    }

    fn start_missing(&self) {
        let config = self.parts.config.current();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, channel| channel.task.is_some());
        for (name, settings) in &config.components.channels_config {
            if !running.contains_key(name) {
                running.insert(name.clone(), start(&self.parts, name, settings));
            }
        }
    }
}

/// A channel that is to stop, and its task.
struct Leaving {
    name: String,
    control: mpsc::Sender<Control>,
    task: JoinHandle<()>,
}

impl Running {
    /// What there is to stop of it; nothing, if someone does so already.
    fn leave(&mut self, name: String) -> Option<Leaving> {
        let task = self.task.take()?;
        Some(Leaving { name, control: self.control.clone(), task })
    }
}

async fn stop_all(channels: impl IntoIterator<Item = Leaving>) {
    join_all(channels.into_iter().map(|channel| channel.stop(LEAVE))).await;
}

impl Leaving {
    /// Closes it politely; one that takes longer than this is cut off, as by a crash.
    async fn stop(mut self, patience: Duration) {
        let stopping = async {
            // A channel that no longer listens has stopped already.
            let _ = self.control.send(Control::Stop).await;
            (&mut self.task).await
        };
        match timeout(patience, stopping).await {
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

fn start(parts: &Parts, name: &str, settings: &Settings) -> Running {
    let (control, controls) = mpsc::channel(4);
    let told = Told {
        health: watch::Sender::new(Health::new(State::Connecting, parts.clock.now())),
        standing: watch::Sender::default(),
    };
    let (health, standing) = (told.health.subscribe(), told.standing.subscribe());
    let (pump_in, pump) = watch::channel(None);
    let code = parts.plugins.connector(plugin(name, settings));
    let door = Arc::new(Door::new(name, settings, code, pump));
    let (parts, settings) = (parts.clone(), settings.clone());
    let channel = Channel { parts, name: name.into(), settings: settings.clone(), told, pump: pump_in };
    let task = tokio::spawn(channel.run(controls).instrument(span(name)));
    Running { settings, health, standing, control, door, task: Some(task) }
}

/// One channel: a chain of lives, each with the code there is at its time.
struct Channel {
    parts: Parts,
    name: String,
    settings: Settings,
    told: Told,
    /// Where inputs of the present life go.
    pump: watch::Sender<Option<mpsc::Sender<Input>>>,
}

impl Channel {
    async fn run(self, mut control: mpsc::Receiver<Control>) {
        let mut code = self.parts.plugins.connector(plugin(&self.name, &self.settings));
        loop {
            let generation = code.borrow_and_update().clone();
            let ended = match generation {
                Some(generation) => self.live(generation, &mut control, &mut code).await,
                None => {
                    self.no_code();
                    tokio::select! {
                        asked = control.recv() => Ended::Asked(asked.unwrap_or(Control::Stop)),
                        changed = code.changed() => match changed {
                            Ok(()) => Ended::CodeGone,
                            Err(_) => Ended::Broken,
                        },
                    }
                }
            };
            match ended {
                Ended::Asked(Control::Restart) | Ended::CodeGone | Ended::Deaf => {}
                Ended::Asked(Control::Stop) | Ended::Broken => return,
            }
        }
    }

    /// One life, from `started` to `stopping`.
    async fn live(
        &self,
        generation: Arc<Generation>,
        control: &mut mpsc::Receiver<Control>,
        code: &mut watch::Receiver<Option<Arc<Generation>>>,
    ) -> Ended {
        if self.told.health.borrow().restarts == 0 {
            self.become_state(State::Connecting, None);
        }
        let (inputs_in, mut inputs) = mpsc::channel(INPUTS);
        let begun = Standing::begun(&generation);
        let pump = match Setup::new(&self.name, &self.settings, &generation) {
            Ok(setup) => Pump::start(&self.parts, setup, generation, &self.told, inputs_in.clone()).await,
            Err(problems) => Err(format!("channels_config.{}: {problems}", self.name)),
        };
        self.told.standing.send_replace(begun);
        let mut pump = match pump {
            Ok(pump) => pump,
            Err(problem) => return self.rest(problem, control, code).await,
        };
        self.pump.send_replace(Some(inputs_in.clone()));
        let forwarding = forward(self.parts.clone(), self.name.clone(), inputs_in);
        let forwarding = tokio::spawn(forwarding.in_current_span());
        let ended = pump.run(&mut inputs, control, code).await;
        forwarding.abort();
        self.pump.send_replace(None);
        if matches!(ended, Ended::Asked(Control::Restart)) {
            self.become_state(State::Reconnecting, None);
        }
        if !matches!(ended, Ended::Broken) {
            pump.drain(&mut inputs).await;
        }
        pump.stop(!matches!(ended, Ended::Asked(_) | Ended::Deaf)).await;
        ended
    }

    /// The channel can't start: says why, and waits for something to change.
    async fn rest(
        &self,
        problem: String,
        control: &mut mpsc::Receiver<Control>,
        code: &mut watch::Receiver<Option<Arc<Generation>>>,
    ) -> Ended {
        warn!(problem, "the channel can't start");
        self.become_state(State::Disconnected, Some(problem));
        let again = self.parts.clock.now() + REST;
        self.told.health.send_modify(|health| health.next_retry_at = Some(again));
        tokio::select! {
            asked = control.recv() => Ended::Asked(asked.unwrap_or(Control::Stop)),
            _ = code.changed() => Ended::CodeGone,
            () = self.parts.clock.sleep(REST) => Ended::Asked(Control::Restart),
        }
    }

    fn no_code(&self) {
        let plugin = plugin(&self.name, &self.settings);
        match self.parts.plugins.get(plugin) {
            Ok(status) if status.status == Status::Disabled => self.become_state(State::Disabled, None),
            Ok(status) => {
                let reason = status.error.unwrap_or_else(|| "it does not serve now".into());
                self.become_state(State::Disconnected, Some(format!("plugin {plugin}: {reason}")));
            }
            Err(_) => {
                let reason = format!("there is no plugin {plugin}: install it, or name another in `plugin`");
                self.become_state(State::Disconnected, Some(reason));
            }
        }
    }

    fn become_state(&self, state: State, error: Option<String>) {
        set_state(&self.parts, &self.told.health, &self.name, state, error);
    }
}

/// Notes how a channel stands, and tells the log and the bus when that changed.
fn set_state(
    parts: &Parts,
    health: &watch::Sender<Health>,
    channel: &str,
    state: State,
    error: Option<String>,
) {
    let mut before = State::Connecting;
    let changed = health.send_if_modified(|health| {
        before = health.state;
        let changed = health.state != state || health.error != error;
        health.become_state(state, error.clone(), parts.clock.now());
        changed
    });
    if !changed {
        return;
    }
    match &error {
        Some(error) => warn!(?state, error, "channel"),
        None => info!(?state, "channel"),
    }
    let data = json!({ "channel": channel, "status": state, "error": error });
    match (before, state) {
        (State::Connected, State::Connected) => {}
        (_, State::Connected) => {
            parts.store.record_event_soon(NewEvent { kind: Kind::ChannelConnected, data })
        }
        (State::Connected, _) => {
            parts.store.record_event_soon(NewEvent { kind: Kind::ChannelDisconnected, data })
        }
        _ => {}
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
        Leaving { name: "stuck".into(), control, task }.stop(Duration::from_millis(1)).await;
        assert_eq!(asked.recv().await, Some(Control::Stop), "it was asked first");
        assert_eq!(Arc::strong_count(&gone), 1, "nothing of it is left");
    }
}
