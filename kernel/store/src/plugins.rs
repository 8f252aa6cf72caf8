//! What the operator has decided about plugins, and the digests of what was compiled for them.

use std::collections::BTreeSet;

use redb::{ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::handle::Store;
use super::kept::Kept;
use super::rows::{MAX_PAGE, Result, Rows};

const PLUGINS: Rows<&str, PluginRecord> = Rows::new("plugins");
pub(super) const ARTIFACTS: TableDefinition<'static, &str, &[u8; 32]> = TableDefinition::new("artifacts");

pub(super) const TABLES: &[&dyn Kept] = &[&ARTIFACTS, &PLUGINS];

/// What is kept of a plugin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginRecord {
    /// Its name.
    pub name: String,
    /// Switched off by the operator.
    pub disabled: bool,
    /// What the operator grants it, where that is not in the configuration.
    pub grants: Option<Value>,
    /// Failures in a row.
    pub failures: u32,
    /// Its configuration keys that were secret in any code of it that was ever in service, also before it was removed.
    pub secrets: BTreeSet<String>,
    /// The public key of who held its name first, also after it was removed; none as long as none of its code was signed.
    pub key: Option<String>,
    /// The SHA-256 of its components, where it was removed and what it kept was not.
    pub removed: BTreeSet<String>,
}

impl Store {
    /// What is kept of one plugin.
    pub fn plugin(&self, name: &str) -> Result<Option<PluginRecord>> {
        self.read(|snapshot| snapshot.get(&PLUGINS, name))
    }

    /// What is kept of all plugins, by name; at most [`MAX_PAGE`].
    pub fn plugins(&self) -> Result<Vec<PluginRecord>> {
        self.read(|snapshot| snapshot.page(&PLUGINS, .., MAX_PAGE))
    }

    /// Keeps this of a plugin instead of what was kept.
    pub async fn put_plugin(&self, plugin: PluginRecord) -> Result<()> {
        self.write(move |tx| tx.put(&PLUGINS, plugin.name.as_str(), &plugin)).await
    }

    /// Forgets what is kept of a plugin.
    pub async fn forget_plugin(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.write(move |tx| tx.remove(&PLUGINS, name.as_str())).await
    }

    /// The SHA-256 of the compiled artifact under a key of the cache.
    pub fn artifact(&self, key: &str) -> Result<Option<[u8; 32]>> {
        self.read(|snapshot| Ok(snapshot.open(ARTIFACTS)?.get(key)?.map(|digest| *digest.value())))
    }

    /// The keys of all compiled artifacts whose SHA-256 is kept; at most [`MAX_PAGE`].
    pub fn artifacts(&self) -> Result<Vec<String>> {
        self.read(|snapshot| {
            let table = snapshot.open(ARTIFACTS)?;
            let keys = table.iter()?.take(MAX_PAGE).map(|row| Ok(row?.0.value().to_owned()));
            keys.collect()
        })
    }

    /// Forgets the SHA-256 of compiled artifacts that are gone.
    pub async fn forget_artifacts(&self, keys: Vec<String>) -> Result<()> {
        self.write(move |tx| {
            let mut artifacts = tx.change(ARTIFACTS)?;
            for key in &keys {
                artifacts.remove(key.as_str())?;
            }
            Ok(())
        })
        .await
    }

    /// Keeps the SHA-256 of a compiled artifact.
    pub async fn put_artifact(&self, key: &str, digest: [u8; 32]) -> Result<()> {
        let key = key.to_owned();
        self.write(move |tx| {
            tx.change(ARTIFACTS)?.insert(key.as_str(), &digest)?;
            Ok(())
        })
        .await
    }
}
