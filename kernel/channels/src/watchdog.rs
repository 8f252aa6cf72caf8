//! The watchdog: a platform that should have been heard by now is connected to anew, by the connector if that has a
//! socket, and from then on by a connector that begins anew itself. Only what comes from the platform counts, so neither
//! a connector that is stuck nor a connection that is open and deaf goes unnoticed. A platform that only calls when it has
//! something to say is left in peace.

use std::time::Duration;

use tracing::warn;

use super::health::State;
use super::input::Alarm;
use super::pump::Pump;

/// How long a new connection may take until the platform is heard; twice as long after each one in vain.
const FIRST: Duration = Duration::from_secs(60);
/// But never longer than this.
const LONGEST: Duration = Duration::from_secs(900);

impl Pump<'_> {
    /// Begins to wait for the platform's first word, unless it only calls when it has something to say.
    pub(super) fn listen(&mut self) {
        let quiet = self.code.is_quiet();
        self.told.health.send_modify(|health| health.quiet = quiet);
        if quiet {
            return self.work.timers.cancel(&Alarm::Silence);
        }
        let restarts = self.told.health.borrow().restarts;
        let patience = FIRST.saturating_mul(1 << restarts.saturating_sub(1).min(8)).min(LONGEST);
        self.work.timers.set(Alarm::Silence, patience);
    }

    /// Other code has taken over, which may expect more of the platform than the code before, or less.
    pub(super) fn listen_on(&mut self) {
        if self.told.health.borrow().quiet != self.code.is_quiet() {
            self.listen();
        }
    }

    /// The platform was heard, and should be again within this time.
    pub(super) fn heard(&mut self, good_for: Duration, latency: Option<Duration>) {
        let latency_ms = latency.map(|latency| u32::try_from(latency.as_millis()).unwrap_or(u32::MAX));
        let now = self.parts.clock.now();
        self.told.health.send_modify(|health| health.prove(now, good_for, latency_ms));
        if !self.code.is_quiet() {
            self.work.timers.set(Alarm::Silence, good_for);
        }
    }

    /// It should have been heard by now. Whether the connector is to begin anew; first its sockets are left, and it is
    /// told so.
    pub(super) fn is_deaf(&mut self) -> bool {
        let now = self.parts.clock.now();
        let Some(since) = self.told.health.borrow().deaf_since(now) else {
            // It has given up and said what to do, or the time is not quite up.
            self.work.timers.set(Alarm::Silence, FIRST);
            return false;
        };
        self.told.health.send_modify(|health| health.restarts += 1);
        let restarts = self.told.health.borrow().restarts;
        warn!(restarts, "nothing heard from the platform since {since:.0}; its connection is made anew");
        let error = format!("nothing heard from the platform since {since:.0}; its connection is made anew");
        self.set_state(State::Reconnecting, Some(error));
        let left = if restarts == 1 { self.work.sockets.leave_deaf() } else { Vec::new() };
        if left.is_empty() {
            return true;
        }
        self.queue.extend(left);
        self.listen();
        false
    }

    /// The connector is on its way to the platform: for the first time, or once more since it was last heard.
    pub(super) fn connecting(&self) {
        let health = self.told.health.borrow().clone();
        match health.last.error.filter(|_| health.restarts > 0) {
            Some((error, _)) => self.set_state(State::Reconnecting, Some(error)),
            None => self.set_state(State::Connecting, None),
        }
    }

    /// Notes when something will be tried that may bring a lost connection back.
    pub(super) fn expect_retry(&self) {
        let timers = &self.work.timers;
        let (own, last) = (timers.next_of_connector(), timers.due(&Alarm::Silence));
        self.told.health.send_if_modified(|health| {
            let waits = matches!(health.state, State::Connecting | State::Reconnecting);
            let retry = own.or(last).filter(|_| waits);
            let changed = health.next_retry_at != retry;
            health.next_retry_at = retry;
            changed
        });
    }
}
