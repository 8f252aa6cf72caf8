//! How long a turn has worked without a word of a model. The timer pauses while the turn only waits for a person: that counts neither towards its
//! timeout nor is it waited for at shutdown.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
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
    /// When a model was last heard, in milliseconds of the clock, plus one; zero: not yet.
    heard: AtomicU64,
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
        Self {
            tracker: tracker.clone(),
            running,
            paused: watch::Sender::new(false),
            heard: AtomicU64::new(0),
        }
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

    /// A model is heard: the timer begins anew.
    pub(super) fn hear(&self, clock: &Clock) {
        self.heard.store(clock.now_ms() + 1, Relaxed);
    }

    /// Ends when the timer has run for `timeout` since a model was last heard.
    pub(super) async fn timeout(&self, clock: &Clock, timeout: Duration) {
        let mut left = timeout;
        loop {
            self.is_paused(false).await;
            let started = clock.now_ms();
            tokio::select! {
                () = clock.sleep(left) => {}
                () = self.is_paused(true) => {}
            }
            let since = |begin| Duration::from_millis(clock.now_ms().saturating_sub(begin));
            left = match self.heard.load(Relaxed).checked_sub(1) {
                Some(heard) if heard >= started => timeout.saturating_sub(since(heard)),
                _ => left.saturating_sub(since(started)),
            };
            if left.is_zero() {
                return;
            }
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
        timer.hear(&clock);
        assert!(!over_after(minutes(9)), "something has come");
        assert!(!over_after(minutes(1) - Duration::from_millis(1)));
        assert!(over_after(Duration::from_millis(1)), "nothing came any more");
    }
}
