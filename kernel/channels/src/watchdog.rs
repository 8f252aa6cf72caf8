//! The watchdog: when the platform is not heard within a timeout, it is connected to anew, by the connector if that has
//! a socket, and from then on by a connector that begins anew itself. Only what comes from the platform counts, so
//! neither a connector that is stuck nor a connection that is open and dead goes unnoticed. A platform that only calls
//! when it has something to say is left in peace.

use std::time::Duration;

use tracing::warn;

use super::health::State;
use super::input::TimerKey;
use super::pump::Pump;

/// How long a new connection may take until the platform is heard, in seconds. Doubles with each one in vain.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest that this backoff makes it, in seconds.
const MAX_SILENCE_TIMEOUT: Duration = Duration::from_secs(900);

impl Pump<'_> {
    /// Starts the timeout for hearing from the platform, unless it only calls when it has something to say.
    pub(super) fn start_watchdog(&mut self) {
        let quiet = self.component.is_quiet();
        self.status.health.send_modify(|health| health.quiet = quiet);
        if quiet {
            return self.work.timers.cancel(&TimerKey::Watchdog);
        }
        let restarts = self.status.health.borrow().restarts;
        let backoff = 1 << restarts.saturating_sub(1).min(8);
        let silence_timeout = SILENCE_TIMEOUT.saturating_mul(backoff).min(MAX_SILENCE_TIMEOUT);
        self.work.timers.set(TimerKey::Watchdog, silence_timeout);
    }

    /// Starts or stops the timeout after a swap, where the other code expects something else of the platform.
    pub(super) fn adjust_watchdog(&mut self) {
        if self.status.health.borrow().quiet != self.component.is_quiet() {
            self.start_watchdog();
        }
    }

    /// Notes that the platform was heard, and should be again within this time.
    pub(super) fn record_proof(&mut self, good_for: Duration, latency: Option<Duration>) {
        let latency_ms = latency.map(|latency| u32::try_from(latency.as_millis()).unwrap_or(u32::MAX));
        let now = self.services.base.clock.now();
        self.status.health.send_modify(|health| health.prove(now, good_for, latency_ms));
        if !self.component.is_quiet() {
            self.work.timers.set(TimerKey::Watchdog, good_for);
        }
    }

    /// The timeout is over. Returns whether the connector is to begin anew; first its sockets are closed, and it is
    /// told so.
    pub(super) fn check_silence(&mut self) -> bool {
        let now = self.services.base.clock.now();
        let Some(since) = self.status.health.borrow().silent_since(now) else {
            // It has given up and said what to do, or the time is not quite up.
            self.work.timers.set(TimerKey::Watchdog, SILENCE_TIMEOUT);
            return false;
        };
        self.status.health.send_modify(|health| health.restarts += 1);
        let restarts = self.status.health.borrow().restarts;
        warn!(restarts, "nothing heard from the platform since {since:.0}; its connection is made anew");
        let error = format!("nothing heard from the platform since {since:.0}; its connection is made anew");
        self.set_state(State::Reconnecting, Some(error));
        let closed = if restarts == 1 { self.work.sockets.close_silent() } else { Vec::new() };
        if closed.is_empty() {
            return true;
        }
        self.queue.extend(closed);
        self.start_watchdog();
        false
    }

    /// The connector connects: for the first time, or once more since the platform was last heard.
    pub(super) fn report_connecting(&self) {
        let health = self.status.health.borrow().clone();
        match health.last.error.filter(|_| health.restarts > 0) {
            Some((error, _)) => self.set_state(State::Reconnecting, Some(error)),
            None => self.set_state(State::Connecting, None),
        }
    }

    /// Publishes when something will be retried that may bring a lost connection back.
    pub(super) fn publish_next_retry(&self) {
        let timers = &self.work.timers;
        let (connector, watchdog) = (timers.next_of_connector(), timers.due(&TimerKey::Watchdog));
        self.status.health.send_if_modified(|health| {
            let waits = matches!(health.state, State::Connecting | State::Reconnecting);
            let retry = connector.or(watchdog).filter(|_| waits);
            let changed = health.next_retry_at != retry;
            health.next_retry_at = retry;
            changed
        });
    }
}
