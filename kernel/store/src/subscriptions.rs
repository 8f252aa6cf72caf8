//! Who takes which events, kept in memory: an event that nobody takes costs no commit of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use super::model::Hook;

/// The hooks there are, as far as they are committed, and whether there are observers.
pub(super) struct Subscriptions {
    hooks: RwLock<Vec<Hook>>,
    observed: AtomicBool,
}

impl Subscriptions {
    pub(super) fn of(hooks: Vec<Hook>, observed: bool) -> Self {
        Self { hooks: RwLock::new(hooks), observed: AtomicBool::new(observed) }
    }

    /// Takes in what was read of a file that was opened anew.
    pub(super) fn replace(&self, hooks: Vec<Hook>, observed: bool) {
        *self.hooks.write().unwrap_or_else(PoisonError::into_inner) = hooks;
        self.set_observed(observed);
    }

    /// Whether somebody takes events of this name who is promised each of them.
    pub(super) fn takes(&self, event: &str) -> bool {
        // Which events an observer wants, only its plugin knows.
        self.observed.load(Ordering::Relaxed) || self.hooks().iter().any(|hook| hook.takes(event))
    }

    /// Takes in whether there are observers.
    pub(super) fn set_observed(&self, observed: bool) {
        self.observed.store(observed, Ordering::Relaxed);
    }

    /// The ids of the active hooks that take events of this name, in the order in which they were registered.
    pub(super) fn takers(&self, event: &str) -> Vec<String> {
        self.hooks().iter().filter(|hook| hook.takes(event)).map(|hook| hook.id.clone()).collect()
    }

    fn hooks(&self) -> RwLockReadGuard<'_, Vec<Hook>> {
        self.hooks.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in that a hook is registered or has changed.
    pub(super) fn set(&self, hook: Hook) {
        let mut hooks = self.hooks.write().unwrap_or_else(PoisonError::into_inner);
        match hooks.iter_mut().find(|known| known.id == hook.id) {
            Some(known) => *known = hook,
            None => hooks.push(hook),
        }
    }

    pub(super) fn remove(&self, id: &str) {
        self.hooks.write().unwrap_or_else(PoisonError::into_inner).retain(|hook| hook.id != id);
    }
}
