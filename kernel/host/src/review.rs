//! Compares what a plugin asks for with what it is granted.

use std::sync::Arc;

use super::grants::{self, Allowance};
use super::manifest::{Permissions, valid_name};
use super::registry::Plugins;
use prx_base::config::Grant;
use prx_base::error::{Error, Result};

/// What a plugin asks for, what it is granted, what takes effect, and what is missing.
#[derive(Debug, Clone)]
pub struct Review {
    /// What its manifest asks for; none as long as there is no such plugin, or none whose manifest can be read.
    pub requested: Option<Permissions>,
    /// What the operator grants.
    pub granted: Grant,
    /// What of that takes effect.
    pub effective: Permissions,
    /// What is asked for and not allowed: the fields of `granted` that would have to change, as they would have to be.
    pub missing: Option<Grant>,
}

impl Plugins {
    /// Compares a plugin's manifest with the grants in force. What is not installed yet can be granted something
    /// beforehand.
    ///
    /// # Errors
    /// `not_found` when there is neither a plugin nor a grant of this name.
    pub fn review(&self, name: &str) -> Result<Review> {
        let catalog = self.catalog();
        let manifest = catalog.entry(name).and_then(|entry| entry.manifest.as_ref().map(Arc::clone));
        let allowance = self.allowance(name)?;
        if catalog.entry(name).is_none() && allowance.operator == Grant::default() {
            return Err(Error::not_found("Plugin", name));
        }
        let requested = manifest.map(|manifest| manifest.permissions.clone());
        let asked = requested.clone().unwrap_or_default();
        Ok(Review {
            effective: grants::granted(&asked, &allowance),
            missing: grants::missing(&asked, &allowance),
            granted: allowance.operator,
            requested,
        })
    }

    /// What a plugin of this name is allowed.
    ///
    /// # Errors
    /// `not_found` for what can be no plugin's name; or the store has failed.
    pub(super) fn allowance(&self, name: &str) -> Result<Allowance> {
        if !valid_name(name) {
            return Err(Error::not_found("Plugin", name));
        }
        let stored = self.0.store.plugin(name)?.and_then(|record| record.grants);
        let stored = stored.and_then(|grant| serde_json::from_value(grant).ok());
        Ok(Allowance {
            operator: grants::operator(self.0.base.config.current().components.grants.get(name), stored),
            verified: self.0.verified.get(name).cloned().unwrap_or_default(),
        })
    }
}
