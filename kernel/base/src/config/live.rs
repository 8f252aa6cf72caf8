//! The configuration in force, and word when it changes.

use std::sync::Arc;

use tokio::sync::watch;

use super::Config;

/// A cheap-clone handle to the configuration in force.
#[derive(Debug, Clone)]
pub struct Live(Arc<watch::Sender<Arc<Config>>>);

impl Live {
    /// Puts a checked configuration in force.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(config))))
    }

    /// Puts another one in its place, and gives word of it.
    pub fn replace(&self, config: Config) {
        self.0.send_replace(Arc::new(config));
    }

    /// The configuration in force now. Hold it for one piece of work, then ask again.
    pub fn current(&self) -> Arc<Config> {
        self.0.borrow().clone()
    }

    /// Word of every change from now on.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Config>> {
        self.0.subscribe()
    }
}
