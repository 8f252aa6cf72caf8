//! The configuration in force, and notice of its changes.

use std::sync::Arc;

use tokio::sync::watch;

use super::sections::Config;

/// A cheap-clone handle to the configuration in force.
#[derive(Debug, Clone)]
pub struct Live(Arc<watch::Sender<Arc<Config>>>);

impl Live {
    /// Puts a checked configuration in force.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(config))))
    }

    /// Puts another one in its place, and notifies subscribers.
    pub fn replace(&self, config: Config) {
        self.0.send_replace(Arc::new(config));
    }

    /// The configuration in force now. Hold it for one piece of work, then ask again.
    pub fn current(&self) -> Arc<Config> {
        self.0.borrow().clone()
    }

    /// Notice of every change from now on.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Config>> {
        self.0.subscribe()
    }
}
