//! Which providers failed when they were last asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A cheap-clone handle. The lock is held to look or to note, never across an await.
#[derive(Debug, Clone, Default)]
pub(super) struct ProviderHealth(Arc<Mutex<BTreeMap<String, String>>>);

impl ProviderHealth {
    /// Notes why a provider gave no answer.
    pub(super) fn failed(&self, provider: &str, reason: &str) {
        self.lock().insert(provider.to_owned(), reason.to_owned());
    }

    /// Notes that a provider answered.
    pub(super) fn answered(&self, provider: &str) {
        self.lock().remove(provider);
    }

    /// Why a provider gave no answer the last time; none if it did, or was not asked yet.
    pub(super) fn problem(&self, provider: &str) -> Option<String> {
        self.lock().get(provider).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
