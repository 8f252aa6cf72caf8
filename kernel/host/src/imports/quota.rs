//! The quota of one plugin's private directory, and where its end is told.

use std::sync::Arc;

use super::shared::Shared;
use crate::files::{Files, Full};
use crate::journal::Level;

/// The quota, and where its end is told.
#[derive(Clone)]
pub(super) struct Within {
    shared: Arc<Shared>,
    pub(super) files: Files,
}

impl Within {
    /// None for a plugin without a private directory.
    pub(super) fn of(shared: &Arc<Shared>) -> Option<Self> {
        let files = shared.files.clone()?;
        Some(Self { shared: Arc::clone(shared), files })
    }

    /// Tells the operator, too.
    pub(super) fn full(&self, full: Full) -> Full {
        let (name, quota) = (&self.shared.links.name, self.files.quota());
        let line = format!("its private directory is full: grants.{name}.files allows {quota}");
        self.shared.journal.write(Level::Warn, &line);
        full
    }
}
