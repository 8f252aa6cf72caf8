//! Compares what a plugin asks for with what it is granted.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::generation::Generation;
use super::grants::{self, Allowance};
use super::manifest::{Manifest, Permissions, valid_name};
use super::registry::Plugins;
use prx_base::config::Grant;
use prx_base::error::{Error, Result};
use prx_store::PluginRecord;

/// Most keys of one plugin, over all its versions, that are remembered to be secret.
const MAX_SECRETS: usize = 1000;

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
        let allowance = self.allowance(name, self.is_verified(name))?;
        if catalog.entry(name).is_none() && allowance.operator == Grant::default() {
            return Err(Error::not_found("Plugin", name));
        }
        let requested = manifest.as_ref().map(|manifest| manifest.permissions.clone());
        let asked = requested.clone().unwrap_or_default();
        Ok(Review {
            effective: grants::granted(&asked, &allowance),
            missing: manifest.and_then(|manifest| grants::missing(&manifest, &allowance)),
            granted: allowance.operator,
            requested,
        })
    }

    /// The configuration keys of a plugin that were secret in any code of its name that was ever in service, or are
    /// in the code that came with the gateway. Whatever a manifest says by now, their values are not to be shown.
    ///
    /// # Errors
    /// The store has failed.
    pub fn once_secret(&self, name: &str) -> Result<BTreeSet<String>> {
        let kept = self.0.store.plugin(name)?.map(|record| record.secrets).unwrap_or_default();
        let bundled = self.0.verified.get(name).map(|known| secrets_of(&known.manifest));
        Ok(kept.into_iter().chain(bundled.into_iter().flatten()).collect())
    }

    /// What a plugin of this name is allowed, by whether it is the code that came with the gateway.
    ///
    /// # Errors
    /// `not_found` for what can be no plugin's name; or the store has failed.
    pub(super) fn allowance(&self, name: &str, is_verified: bool) -> Result<Allowance> {
        if !valid_name(name) {
            return Err(Error::not_found("Plugin", name));
        }
        let stored = self.0.store.plugin(name)?.and_then(|record| record.grants);
        let stored = stored.and_then(|grant| serde_json::from_value(grant).ok());
        let verified = self.0.verified.get(name);
        Ok(Allowance {
            operator: grants::operator(self.0.base.config.current().components.grants.get(name), stored),
            stands_in: verified.is_some() && !is_verified,
            verified: verified
                .filter(|_| is_verified)
                .map(|known| known.manifest.permissions.clone())
                .unwrap_or_default(),
            once_secret: self.once_secret(name)?,
        })
    }

    /// Keeps which keys of code that is put in service are secret.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn remember_secrets(&self, manifest: &Manifest) -> Result<()> {
        let name = &manifest.plugin.name;
        let mut record = self.0.store.plugin(name)?.unwrap_or_default();
        let before = record.secrets.len();
        record.secrets.extend(secrets_of(manifest));
        if record.secrets.len() == before {
            return Ok(());
        }
        if record.secrets.len() > MAX_SECRETS {
            let message =
                format!("Plugin {name}: versions of it have had more than {MAX_SECRETS} secret keys");
            return Err(Error::conflict(message));
        }
        self.0.store.put_plugin(PluginRecord { name: name.clone(), ..record }).await
    }

    /// Keeps who holds a name, from the first signed code under it on, and that it is taken again.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn remember_key(&self, generation: &Generation) -> Result<()> {
        let name = generation.name();
        let before = self.0.store.plugin(name)?.unwrap_or_default();
        let mut record = before.clone();
        if !generation.bundled {
            record.removed.clear();
            record.key = record.key.or_else(|| generation.signer.map(|key| key.to_string()));
        }
        if record == before {
            return Ok(());
        }
        self.0.store.put_plugin(PluginRecord { name: name.to_owned(), ..record }).await
    }

    /// Forgets that keys were secret in code that was taken back at once, and plain in the code that is back.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn forget_secrets(&self, withdrawn: &Manifest, before: &Manifest) -> Result<()> {
        let plain = |name: &String| before.config.get(name).is_some_and(|key| !key.get_ref().secret);
        let mut record = self.0.store.plugin(&before.plugin.name)?.unwrap_or_default();
        let kept = record.secrets.len();
        record.secrets.retain(|name| !(plain(name) && secrets_of(withdrawn).any(|secret| secret == *name)));
        if record.secrets.len() == kept {
            return Ok(());
        }
        self.0.store.put_plugin(record).await
    }

    /// Whether the code of this name that serves, or would, is what came with the gateway.
    fn is_verified(&self, name: &str) -> bool {
        let catalog = self.catalog();
        match catalog.entry(name).and_then(|entry| entry.generation.as_ref()) {
            Some(generation) => !generation.allowance.stands_in,
            None => !self.has_file(name),
        }
    }
}

fn secrets_of(manifest: &Manifest) -> impl Iterator<Item = String> {
    manifest.keys().filter(|(_, key)| key.secret).map(|(name, _)| name.to_owned())
}
