//! Whether a turn has something to do, or only waits for a person: a gateway that stops waits for the one and not for
//! the other.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use prx_base::clock::Clock;

/// A worker as the one who waits for all of them sees it.
pub(super) struct Presence {
    all: TaskTracker,
    at_work: Mutex<AtWork>,
    /// Whether it only waits for a person.
    rests: watch::Sender<bool>,
}

struct AtWork {
    /// Things it does side by side.
    parts: usize,
    /// While there is any.
    token: Option<TaskTrackerToken>,
}

impl Presence {
    /// A worker among others, that works.
    pub(super) fn new(all: &TaskTracker) -> Self {
        let at_work = Mutex::new(AtWork { parts: 1, token: Some(all.token()) });
        Self { all: all.clone(), at_work, rests: watch::Sender::new(false) }
    }

    /// From now on it does so many things side by side.
    pub(super) fn parts(&self, parts: usize) {
        self.change(|_| parts);
    }

    /// One of them is done, or waits for a person.
    pub(super) fn rest(&self) {
        self.change(|parts| parts.saturating_sub(1));
    }

    /// One that waited for a person goes on.
    pub(super) fn go_on(&self) {
        self.change(|parts| parts + 1);
    }

    /// Ends when it has worked for so long: a person may take their time.
    pub(super) async fn worked(&self, clock: &Clock, limit: Duration) {
        let mut left = limit;
        loop {
            self.come_to(false).await;
            let began = clock.now();
            tokio::select! {
                () = clock.sleep(left) => return,
                () = self.come_to(true) => {}
            }
            let worked = Duration::try_from(clock.now().duration_since(began)).unwrap_or_default();
            left = left.saturating_sub(worked);
        }
    }

    async fn come_to(&self, rest: bool) {
        // What is waited for lives as long as this.
        let _ = self.rests.subscribe().wait_for(|rests| *rests == rest).await;
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        at_work.parts = change(at_work.parts);
        let token = at_work.token.take();
        at_work.token = (at_work.parts > 0).then(|| token.unwrap_or_else(|| self.all.token()));
        self.rests.send_replace(at_work.parts == 0);
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
        let (all, clock) = (TaskTracker::new(), Clock::manual(Timestamp::UNIX_EPOCH));
        let presence = Presence::new(&all);
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let mut worked = pin!(presence.worked(&clock, minutes(10)));
        let mut over_after = |time| {
            clock.advance(time);
            (0..4).any(|_| worked.as_mut().now_or_never().is_some())
        };
        assert!(!over_after(Duration::ZERO));
        assert!(!over_after(minutes(9)));
        presence.rest();
        assert!(!over_after(Duration::ZERO));
        assert!(!over_after(minutes(60)), "it is a person who takes so long");
        presence.go_on();
        assert!(!over_after(Duration::ZERO));
        assert!(!over_after(minutes(1) - Duration::from_millis(1)));
        assert!(over_after(Duration::from_millis(1)));
    }
}
