//! One call at a time of what a plugin does without being asked: its data has no transactions over several calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Lane, OwnedMutexGuard};

/// A cheap-clone handle to the lanes of all plugins: jobs and observers of one plugin share one.
#[derive(Clone, Default)]
pub struct Lanes(Arc<Mutex<HashMap<String, Arc<Lane<()>>>>>);

impl Lanes {
    /// Waits until nothing else of the plugin is under way. It is its turn until the result is dropped.
    pub(super) async fn enter(&self, plugin: &str) -> OwnedMutexGuard<()> {
        let lane = {
            let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lanes.entry(plugin.to_owned()).or_default())
        };
        lane.lock_owned().await
    }
}
