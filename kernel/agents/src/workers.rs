//! Which sessions have a worker that runs their turns, one each, and how it is woken while it works.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Wakes a worker when its turn was stopped or one of its questions answered; which of them, is in the store. A wakeup
/// that comes before it is waited for is not lost.
pub(super) type Wakeup = watch::Receiver<()>;

/// The workers there are, by session.
#[derive(Clone, Default)]
pub(super) struct Workers(Arc<Mutex<HashMap<String, Worker>>>);

struct Worker {
    /// A turn came in meanwhile, so it has to look again.
    again: bool,
    wakeup: watch::Sender<()>,
}

impl Workers {
    /// Makes the caller this session's worker; none if there is one, which will look again.
    pub(super) fn take(&self, session: &str) -> Option<Wakeup> {
        let mut workers = self.lock();
        if let Some(worker) = workers.get_mut(session) {
            worker.again = true;
            return None;
        }
        let (sender, wakeup) = watch::channel(());
        workers.insert(session.into(), Worker { again: false, wakeup: sender });
        Some(wakeup)
    }

    /// Ends this session's worker, unless something came in meanwhile.
    pub(super) fn release(&self, session: &str) -> bool {
        let mut workers = self.lock();
        match workers.get_mut(session) {
            Some(worker) if worker.again => {
                worker.again = false;
                false
            }
            _ => {
                workers.remove(session);
                true
            }
        }
    }

    /// The sessions that have one.
    pub(super) fn sessions(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Wakes this session's worker, if there is one.
    pub(super) fn wake(&self, session: &str) {
        if let Some(worker) = self.lock().get(session) {
            worker.wakeup.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Worker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
