//! Requests and connections, counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A cheap-clone handle to the counts since the start.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<Counts>);

/// Requests that had the same outcome.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    /// The route's path; `-` where there is none.
    pub route: &'static str,
    /// The method; `-` where there is no route.
    pub method: String,
    /// The HTTP status.
    pub status: u16,
}

#[derive(Debug, Default)]
struct Counts {
    /// As many entries as there are routes and statuses. Held to count, never across a wait.
    requests: Mutex<BTreeMap<Outcome, u64>>,
    connections: AtomicUsize,
}

/// A connection that is open.
pub(super) struct Open(Traffic);

impl Traffic {
    /// How many requests had which outcome.
    pub fn requests(&self) -> BTreeMap<Outcome, u64> {
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, outcome: Outcome) {
        *self.0.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
    }

    pub(super) fn open(&self) -> Open {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
