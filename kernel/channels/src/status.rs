//! How a channel stands: what it publishes of itself, and what `GET /channels` shows.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{info, warn};

use super::health::{Health, Last, State, Undelivered};
use super::swap_progress::SwapProgress;
use prx_base::Base;
use prx_base::events::{Kind, NewEvent};
use prx_base::issue::{Issue, IssueKind};
use prx_store::Store;

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
    /// Replies do not go out, though the platform hears us.
    pub undelivered: Option<Undelivered>,
}

impl ChannelStatus {
    pub(super) fn new(name: &str, plugin: &str, health: &Health, now: Timestamp) -> Self {
        let (state, error, since) = health.at(now);
        Self {
            name: name.into(),
            plugin: plugin.into(),
            connected_at: health.connected_at.filter(|_| state == State::Connected),
            state,
            error,
            latency_ms: health.latency_ms,
            since,
            next_retry_at: health.next_retry_at,
            last: health.last.clone(),
            undelivered: health.undelivered.clone(),
        }
    }
}

impl ChannelStatus {
    /// That replies do not go out, and what to do about it.
    pub fn delivery_problem(&self) -> Option<Issue> {
        let Undelivered { reason, given_up, waits_until } = self.undelivered.as_ref()?;
        let name = &self.name;
        let problem = match (waits_until, given_up) {
            (Some(_), 0) => format!("channel {name} has replies that wait: {reason}"),
            (Some(_), _) => format!("channel {name} has replies that wait, and gave up {given_up}: {reason}"),
            (None, _) => {
                format!("channel {name} could not deliver {given_up} of its replies, the last for: {reason}")
            }
        };
        let fix = match given_up {
            0 => "they go out by themselves then".to_owned(),
            _ => format!("`prx channel dead-letters {name}` lists them, to be sent again"),
        };
        Some(Issue::new(IssueKind::Channel, problem, fix))
    }
}

/// What a channel publishes of itself, over all runs of its connector.
pub(super) struct StatusFeed {
    base: Base,
    store: Store,
    channel: String,
    pub(super) health: watch::Sender<Health>,
    pub(super) swap: watch::Sender<SwapProgress>,
}

impl StatusFeed {
    pub(super) fn new(base: Base, store: Store, channel: String) -> Self {
        let health = watch::Sender::new(Health::new(State::Connecting, base.clock.now()));
        Self { base, store, channel, health, swap: watch::Sender::default() }
    }

    /// Notes how the channel stands, and tells the log and the bus when that changed.
    pub(super) fn set_state(&self, state: State, error: Option<String>) {
        let mut before = State::Connecting;
        let changed = self.health.send_if_modified(|health| {
            before = health.state;
            let changed = health.state != state || health.error != error;
            health.set_state(state, error.clone(), self.base.clock.now());
            changed
        });
        if !changed {
            return;
        }
        match &error {
            Some(error) => warn!(?state, error, "channel"),
            None => info!(?state, "channel"),
        }
        let data = json!({ "channel": self.channel, "status": state, "error": error });
        match (before, state) {
            (State::Connected, State::Connected) => {}
            (_, State::Connected) => self.record(Kind::ChannelConnected, data),
            (State::Connected, _) => self.record(Kind::ChannelDisconnected, data),
            _ => {}
        }
    }

    fn record(&self, kind: Kind, data: Value) {
        self.store.record_event_soon(NewEvent { kind, data });
    }
}
