//! Whether a channel's platform hears us: from what it answered, never from our own activity.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::clock::Clock;

/// How a channel stands, as `GET /channels` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ChannelState")]
pub enum State {
    /// Started; the platform has not answered yet.
    Connecting,
    /// The platform answered a short while ago.
    Connected,
    /// It did answer, does not now, and is being tried.
    Reconnecting,
    /// Nothing is being tried; the error says what to do.
    Disconnected,
    /// Its plugin is disabled.
    Disabled,
}

/// What is known of a channel's connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// How it stands, as of the last word from its connector.
    pub(super) state: State,
    /// What is wrong, and what the operator can do.
    pub(super) error: Option<String>,
    /// When the present connection was made.
    pub(super) connected_at: Option<Timestamp>,
    /// Until when the platform's last answer counts as proof.
    pub(super) proven_until: Option<Timestamp>,
    /// Round trip of the last real call.
    pub(super) latency_ms: Option<u32>,
    /// When a message last came in.
    pub(super) last_message_at: Option<Timestamp>,
}

impl Health {
    pub(super) fn new(state: State) -> Self {
        let (error, connected_at, proven_until) = (None, None, None);
        Self { state, error, connected_at, proven_until, latency_ms: None, last_message_at: None }
    }

    /// The connector says how it stands.
    pub(super) fn become_state(&mut self, state: State, error: Option<String>, now: Timestamp) {
        if state == State::Connected && self.state != State::Connected {
            self.connected_at = Some(now);
        }
        if state != State::Connected {
            self.connected_at = None;
        }
        self.state = state;
        self.error = error;
    }

    /// The platform answered, which stands as proof for a while.
    pub(super) fn prove(&mut self, now: Timestamp, good_for: Duration, latency_ms: Option<u32>) {
        self.proven_until = Some(now + good_for);
        self.latency_ms = latency_ms.or(self.latency_ms);
    }

    /// How it stands now: without fresh proof nothing counts as connected.
    pub(super) fn at(&self, clock: &Clock) -> (State, Option<String>) {
        let deaf =
            self.state == State::Connected && self.proven_until.is_none_or(|until| until < clock.now());
        if !deaf {
            return (self.state, self.error.clone());
        }
        let since = self.proven_until.map_or_else(String::new, |until| format!(" since {until:.0}"));
        (State::Reconnecting, Some(format!("nothing heard from the platform{since}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connected_needs_fresh_proof() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let mut health = Health::new(State::Connecting);
        health.become_state(State::Connected, None, clock.now());
        assert_eq!(health.at(&clock).0, State::Reconnecting);
        health.prove(clock.now(), Duration::from_secs(60), Some(12));
        assert_eq!(health.at(&clock), (State::Connected, None));
        clock.advance(Duration::from_secs(61));
        let (state, error) = health.at(&clock);
        assert_eq!(state, State::Reconnecting);
        assert!(error.is_some_and(|error| error.contains("1970-01-01T00:01:00Z")));
    }
}
