//! How long a turn has worked. The timer pauses while the turn only waits for a person: that counts neither towards its
//! timeout nor is it waited for at shutdown.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use prx_base::clock::Clock;

/// Runs while any of a turn's tasks does. What waits for the tracker waits for running timers only.
pub(super) struct WorkTimer {
    tracker: TaskTracker,
    running: Mutex<Running>,
    paused: watch::Sender<bool>,
}

struct Running {
    /// Tasks that run side by side.
    tasks: usize,
    /// While there is any.
    token: Option<TaskTrackerToken>,
}

impl WorkTimer {
    /// A timer that runs, for one task.
    pub(super) fn new(tracker: &TaskTracker) -> Self {
        let running = Mutex::new(Running { tasks: 1, token: Some(tracker.token()) });
        Self { tracker: tracker.clone(), running, paused: watch::Sender::new(false) }
    }

    /// From now on so many tasks run side by side.
    pub(super) fn set_tasks(&self, tasks: usize) {
        self.change(|_| tasks);
    }

    /// One task is done, or waits for a person. The timer pauses with the last one.
    pub(super) fn pause(&self) {
        self.change(|tasks| tasks.saturating_sub(1));
    }

    /// A task that waited for a person goes on.
    pub(super) fn resume(&self) {
        self.change(|tasks| tasks + 1);
    }

    /// Ends when the timer has run for `timeout`.
    pub(super) async fn timeout(&self, clock: &Clock, timeout: Duration) {
        let mut left = timeout;
        loop {
            self.is_paused(false).await;
            let started = clock.now();
            tokio::select! {
                () = clock.sleep(left) => return,
                () = self.is_paused(true) => {}
            }
            let worked = Duration::try_from(clock.now().duration_since(started)).unwrap_or_default();
            left = left.saturating_sub(worked);
        }
    }

    /// Waits until the timer is paused, or runs.
    async fn is_paused(&self, wanted: bool) {
        // What is waited for lives as long as this.
        let _ = self.paused.subscribe().wait_for(|paused| *paused == wanted).await;
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.tasks = change(running.tasks);
        let token = running.token.take();
        running.token = (running.tasks > 0).then(|| token.unwrap_or_else(|| self.tracker.token()));
        self.paused.send_replace(running.tasks == 0);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn only_work_counts() {
        let (tracker, clock) = (TaskTracker::new(), Clock::manual(Timestamp::UNIX_EPOCH));
        let timer = WorkTimer::new(&tracker);
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let mut timeout = pin!(timer.timeout(&clock, minutes(10)));
        let mut over_after = |time| {
            clock.advance(time);
            (0..4).any(|_| timeout.as_mut().now_or_never().is_some())
        };
        assert!(!over_after(Duration::ZERO));
        assert!(!over_after(minutes(9)));
        timer.pause();
        assert!(!over_after(Duration::ZERO));
        assert!(!over_after(minutes(60)), "it is a person who takes so long");
        timer.resume();
        assert!(!over_after(Duration::ZERO));
        assert!(!over_after(minutes(1) - Duration::from_millis(1)));
        assert!(over_after(Duration::from_millis(1)));
    }
}
