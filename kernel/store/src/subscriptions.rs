//! Which hooks take which events, kept in memory: an event that no hook takes costs the disk nothing.

use std::sync::{PoisonError, RwLock};

use super::model::Hook;

/// The hooks there are, as far as they are committed.
#[derive(Default)]
pub(super) struct Subscriptions(RwLock<Vec<Hook>>);

impl Subscriptions {
    pub(super) fn of(hooks: Vec<Hook>) -> Self {
        Self(RwLock::new(hooks))
    }

    /// Takes in what was read of a file that was opened anew.
    pub(super) fn replace(&self, hooks: Vec<Hook>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = hooks;
    }

    /// The ids of the active hooks that take events of this name, in the order in which they were registered.
    pub(super) fn takers(&self, event: &str) -> Vec<String> {
        let hooks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        hooks.iter().filter(|hook| hook.takes(event)).map(|hook| hook.id.clone()).collect()
    }

    /// Takes in that a hook is registered or has changed.
    pub(super) fn set(&self, hook: Hook) {
        let mut hooks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match hooks.iter_mut().find(|known| known.id == hook.id) {
            Some(known) => *known = hook,
            None => hooks.push(hook),
        }
    }

    pub(super) fn remove(&self, id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|hook| hook.id != id);
    }
}
