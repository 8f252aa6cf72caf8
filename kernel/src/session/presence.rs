//! Whether a turn has something to do, or only waits for a person: a gateway that stops waits for the one and not for
//! the other.

use std::sync::{Mutex, PoisonError};

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// A worker as the one who waits for all of them sees it.
pub(super) struct Presence {
    all: TaskTracker,
    at_work: Mutex<AtWork>,
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
        Self { all: all.clone(), at_work: Mutex::new(AtWork { parts: 1, token: Some(all.token()) }) }
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

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        at_work.parts = change(at_work.parts);
        let token = at_work.token.take();
        at_work.token = (at_work.parts > 0).then(|| token.unwrap_or_else(|| self.all.token()));
    }
}
