//! Whether a channel's platform hears us: from what it answered, never from our own activity.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// From here on a reply that waits for its platform is worth telling.
const LONG_WAIT: Duration = Duration::from_secs(60);

/// How a channel stands, as `GET /channels` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ChannelState")]
pub enum State {
    /// Started; the platform has not answered yet.
    Connecting,
    /// The platform answered a short while ago, or only calls and finds us ready.
    Connected,
    /// It did answer, does not now, and is being tried.
    Reconnecting,
    /// Nothing is being tried; the error says what to do.
    Disconnected,
    /// Its plugin is disabled.
    Disabled,
}

/// What last happened on a channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Last {
    /// When a message came in.
    pub message_at: Option<Timestamp>,
    /// When the platform took something that was sent.
    pub sent_at: Option<Timestamp>,
    /// What went wrong, and when.
    pub error: Option<(String, Timestamp)>,
}

/// That replies do not go out, though the platform hears us.
#[derive(Debug, Clone, PartialEq)]
pub struct Undelivered {
    /// What the platform, or the connector, said last.
    pub reason: String,
    /// Replies that were given up since the last one that was sent.
    pub given_up: u64,
    /// The platform takes none before then.
    pub waits_until: Option<Timestamp>,
}

/// What is known of a channel's connection.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Health {
    /// How it stands, as its connector said last.
    pub(super) state: State,
    /// Since when.
    pub(super) since: Timestamp,
    /// What is wrong, and what the operator can do.
    pub(super) error: Option<String>,
    /// When the present connection was made.
    pub(super) connected_at: Option<Timestamp>,
    /// Until when the platform's last answer counts as proof.
    pub(super) proven_until: Option<Timestamp>,
    /// The platform only calls: no proof is asked of it.
    pub(super) quiet: bool,
    /// Round trip of the last real call.
    pub(super) latency_ms: Option<u32>,
    /// How often the connection was made anew without a proof since.
    pub(super) restarts: u32,
    /// When something will be tried that may mend it.
    pub(super) next_retry_at: Option<Timestamp>,
    /// What happened last.
    pub(super) last: Last,
    /// Replies do not go out.
    pub(super) undelivered: Option<Undelivered>,
}

impl Health {
    pub(super) fn new(state: State, now: Timestamp) -> Self {
        Self {
            state,
            since: now,
            error: None,
            connected_at: None,
            proven_until: None,
            quiet: false,
            latency_ms: None,
            restarts: 0,
            next_retry_at: None,
            last: Last::default(),
            undelivered: None,
        }
    }

    /// A reply was given up.
    pub(super) fn give_up(&mut self, reason: &str, now: Timestamp) {
        let given_up = self.undelivered.as_ref().map_or(0, |before| before.given_up) + 1;
        let reason = reason.to_owned();
        self.last.error = Some((format!("a reply could not be delivered: {reason}"), now));
        self.undelivered = Some(Undelivered { reason, given_up, waits_until: None });
    }

    /// The platform takes a reply only after this long.
    pub(super) fn postpone(&mut self, after: Duration, now: Timestamp) {
        if after < LONG_WAIT {
            return;
        }
        let until = now.checked_add(after).unwrap_or(Timestamp::MAX);
        let reason = format!("the platform takes no reply before {until:.0}");
        self.last.error = Some((reason.clone(), now));
        let given_up = self.undelivered.as_ref().map_or(0, |before| before.given_up);
        self.undelivered = Some(Undelivered { reason, given_up, waits_until: Some(until) });
    }

    /// The platform took something that was sent.
    pub(super) fn sent(&mut self, now: Timestamp) {
        self.last.sent_at = Some(now);
        self.undelivered = None;
    }

    /// Sets how it stands, as its connector says.
    pub(super) fn set_state(&mut self, state: State, error: Option<String>, now: Timestamp) {
        if state != self.state {
            self.since = now;
            self.connected_at = (state == State::Connected).then_some(now);
        }
        if let Some(error) = &error {
            self.last.error = Some((error.clone(), now));
        }
        self.next_retry_at = None;
        self.state = state;
        self.error = error;
    }

    /// The platform answered, which stands as proof for a while.
    pub(super) fn prove(&mut self, now: Timestamp, good_for: Duration, latency_ms: Option<u32>) {
        self.proven_until = Some(now + good_for);
        self.latency_ms = latency_ms.or(self.latency_ms);
        self.restarts = 0;
    }

    /// Since when the platform has been silent that should have been heard; none while all is well, or nothing is
    /// expected.
    pub(super) fn silent_since(&self, now: Timestamp) -> Option<Timestamp> {
        let expects = matches!(self.state, State::Connecting | State::Connected | State::Reconnecting);
        let since = self.proven_until.unwrap_or(self.since);
        (expects && !self.quiet && since <= now).then_some(since)
    }

    /// How it stands now, and since when: without fresh proof nothing counts as connected.
    pub(super) fn at(&self, now: Timestamp) -> (State, Option<String>, Timestamp) {
        match self.silent_since(now) {
            Some(since) if self.state == State::Connected => {
                let error =
                    format!("nothing heard from the platform since {since:.0}; its connection is made anew");
                (State::Reconnecting, Some(error), since)
            }
            _ => (self.state, self.error.clone(), self.since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connected_needs_fresh_proof() {
        let mut now = Timestamp::UNIX_EPOCH;
        let mut health = Health::new(State::Connecting, now);
        health.set_state(State::Connected, None, now);
        assert_eq!(health.at(now).0, State::Reconnecting);
        health.prove(now, Duration::from_secs(60), Some(12));
        assert_eq!(health.at(now), (State::Connected, None, now));
        assert_eq!(health.silent_since(now), None);
        now += Duration::from_secs(61);
        let (state, error, since) = health.at(now);
        assert_eq!((state, since.as_second()), (State::Reconnecting, 60));
        assert!(error.is_some_and(|error| error.contains("1970-01-01T00:01:00Z")));
    }

    #[test]
    fn a_platform_that_only_calls_needs_no_proof() {
        let now = Timestamp::UNIX_EPOCH;
        let mut health = Health { quiet: true, ..Health::new(State::Connecting, now) };
        health.set_state(State::Connected, None, now);
        let later = now + Duration::from_secs(90 * 24 * 60 * 60);
        assert_eq!((health.at(later), health.silent_since(later)), ((State::Connected, None, now), None));
        health.set_state(State::Reconnecting, Some("it takes no replies".into()), now);
        assert_eq!((health.at(later).0, health.silent_since(later)), (State::Reconnecting, None));
    }

    #[test]
    fn what_does_not_go_out_is_told_until_something_was_sent() {
        let now = Timestamp::UNIX_EPOCH;
        let mut health = Health::new(State::Connected, now);
        health.postpone(Duration::from_secs(59), now);
        assert_eq!((&health.undelivered, &health.last.error), (&None, &None), "that is nothing unusual");
        health.give_up("kicked", now);
        health.give_up("kicked", now);
        health.postpone(Duration::from_secs(13_938), now);
        let undelivered = health.undelivered.clone().unwrap();
        assert_eq!(
            (undelivered.given_up, undelivered.waits_until),
            (2, Some(now + Duration::from_secs(13_938)))
        );
        assert!(undelivered.reason.contains("1970-01-01T03:52:18Z"), "{undelivered:?}");
        health.sent(now);
        assert_eq!(health.undelivered, None);
        assert!(health.last.error.is_some(), "what happened last is still known");
    }

    #[test]
    fn what_gave_up_is_not_silent_and_errors_are_remembered() {
        let now = Timestamp::UNIX_EPOCH;
        let mut health = Health::new(State::Connecting, now);
        assert_eq!(health.silent_since(now + Duration::from_secs(9)), Some(now));
        health.set_state(State::Disconnected, Some("no token".into()), now);
        assert_eq!(health.silent_since(now + Duration::from_secs(9)), None);
        health.set_state(State::Connecting, None, now);
        assert_eq!((health.error, health.last.error), (None, Some(("no token".into(), now))));
    }
}
