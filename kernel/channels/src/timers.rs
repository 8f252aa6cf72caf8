//! The timers of a pump.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::input::{Input, TimerKey};
use prx_base::clock::Clock;

/// Timers of one pump. Dropped with it.
pub(super) struct Timers {
    clock: Clock,
    inputs: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
    timers: HashMap<TimerKey, Timer>,
    count: u64,
}

/// A timer that has not fired.
struct Timer {
    count: u64,
    due: Timestamp,
    task: AbortHandle,
}

impl Timers {
    pub(super) fn new(clock: Clock, inputs: mpsc::Sender<Input>) -> Self {
        Self { clock, inputs, tasks: JoinSet::new(), timers: HashMap::new(), count: 0 }
    }

    /// Sends [`Input::Timer`] after `delay`, instead of when this timer was set to fire before.
    pub(super) fn set(&mut self, key: TimerKey, delay: Duration) {
        self.cancel(&key);
        self.count += 1;
        let (clock, inputs, count) = (self.clock.clone(), self.inputs.clone(), self.count);
        let due = self.clock.now().saturating_add(delay).unwrap_or(Timestamp::MAX);
        let fired = key.clone();
        let task = self.tasks.spawn(async move {
            clock.sleep(delay).await;
            // The pump is gone: nobody is left to wake.
            let _ = inputs.send(Input::Timer(fired, count)).await;
        });
        self.timers.insert(key, Timer { count, due, task });
    }

    /// Takes a timer that fired. False: it had been cancelled or set anew on the way here.
    pub(super) fn take_fired(&mut self, key: &TimerKey, count: u64) -> bool {
        while self.tasks.try_join_next().is_some() {}
        let current = self.timers.get(key).is_some_and(|timer| timer.count == count);
        if current {
            self.timers.remove(key);
        }
        current
    }

    /// A timer that is cancelled does not fire.
    pub(super) fn cancel(&mut self, key: &TimerKey) {
        if let Some(timer) = self.timers.remove(key) {
            timer.task.abort();
        }
    }

    /// How many timers are set, the kernel's own among them.
    pub(super) fn count(&self) -> usize {
        self.timers.len()
    }

    /// The tokens of the connector's own timers.
    pub(super) fn tokens(&self) -> Vec<u64> {
        let token = |key: &TimerKey| if let TimerKey::Connector(token) = key { Some(*token) } else { None };
        let mut tokens: Vec<u64> = self.timers.keys().filter_map(token).collect();
        tokens.sort_unstable();
        tokens
    }

    /// When the first of the connector's own timers fires.
    pub(super) fn next_of_connector(&self) -> Option<Timestamp> {
        let own = self.timers.iter().filter(|(key, _)| matches!(key, TimerKey::Connector(_)));
        own.map(|(_, timer)| timer.due).min()
    }

    /// When a timer fires.
    pub(super) fn due(&self, key: &TimerKey) -> Option<Timestamp> {
        self.timers.get(key).map(|timer| timer.due)
    }

    /// Cancels every timer.
    pub(super) fn clear(&mut self) {
        self.timers.clear();
        self.tasks.abort_all();
    }
}
