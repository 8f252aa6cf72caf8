//! Things a pump wants to be told later.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::input::{Alarm, Input};
use prx_base::clock::Clock;

/// Timers of one pump. Dropped with it.
pub(super) struct Timers {
    clock: Clock,
    inputs: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
    set: HashMap<Alarm, Set>,
    count: u64,
}

/// An alarm that has not rung.
struct Set {
    count: u64,
    due: Timestamp,
    task: AbortHandle,
}

impl Timers {
    pub(super) fn new(clock: Clock, inputs: mpsc::Sender<Input>) -> Self {
        Self { clock, inputs, tasks: JoinSet::new(), set: HashMap::new(), count: 0 }
    }

    /// Sends [`Input::Alarm`] after `delay`, instead of when this alarm was set to before.
    pub(super) fn set(&mut self, alarm: Alarm, delay: Duration) {
        self.cancel(&alarm);
        self.count += 1;
        let (clock, inputs, count) = (self.clock.clone(), self.inputs.clone(), self.count);
        let due = self.clock.now().saturating_add(delay).unwrap_or(Timestamp::MAX);
        let ringing = alarm.clone();
        let task = self.tasks.spawn(async move {
            clock.sleep(delay).await;
            // The pump is gone: nobody is left to wake.
            let _ = inputs.send(Input::Alarm(ringing, count)).await;
        });
        self.set.insert(alarm, Set { count, due, task });
    }

    /// Notes that an alarm rang. False: it had been cancelled or set anew on the way here.
    pub(super) fn rang(&mut self, alarm: &Alarm, count: u64) -> bool {
        while self.tasks.try_join_next().is_some() {}
        let current = self.set.get(alarm).is_some_and(|set| set.count == count);
        if current {
            self.set.remove(alarm);
        }
        current
    }

    /// An alarm that is cancelled does not ring.
    pub(super) fn cancel(&mut self, alarm: &Alarm) {
        if let Some(set) = self.set.remove(alarm) {
            set.task.abort();
        }
    }

    /// How many alarms there are, the kernel's own among them.
    pub(super) fn count(&self) -> usize {
        self.set.len()
    }

    /// The connector's own timers that have not rung yet.
    pub(super) fn tokens(&self) -> Vec<u64> {
        let token = |alarm: &Alarm| if let Alarm::Connector(token) = alarm { Some(*token) } else { None };
        let mut tokens: Vec<u64> = self.set.keys().filter_map(token).collect();
        tokens.sort_unstable();
        tokens
    }

    /// When the first of the connector's own timers rings.
    pub(super) fn next_of_connector(&self) -> Option<Timestamp> {
        let own = self.set.iter().filter(|(alarm, _)| matches!(alarm, Alarm::Connector(_)));
        own.map(|(_, set)| set.due).min()
    }

    /// When an alarm rings.
    pub(super) fn due(&self, alarm: &Alarm) -> Option<Timestamp> {
        self.set.get(alarm).map(|set| set.due)
    }

    /// None of them rings any more.
    pub(super) fn clear(&mut self) {
        self.set.clear();
        self.tasks.abort_all();
    }
}
