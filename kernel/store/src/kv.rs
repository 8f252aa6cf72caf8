//! Key-value data of plugins. Each plugin sees only its own.

use std::ops::Bound;

use redb::{ReadableTable, TableDefinition};

use super::handle::Store;
use super::kept::Kept;
use super::rows::{Failure, Result};
use super::tx::Tx;

const KV: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("kv");
/// Bytes in a plugin's keys and values.
const USED: TableDefinition<'static, &str, u64> = TableDefinition::new("kv_used");

/// The longest key.
pub const MAX_KEY_BYTES: usize = 512;
/// Keys that one commit of an erasure removes.
const ERASED_AT_ONCE: usize = 256;
/// The most keys that one listing returns.
const MAX_KEYS: usize = 1000;

pub(super) const TABLES: &[&dyn Kept] = &[&KV, &USED];

/// A value was not stored: there would be more than the plugin may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaExceeded {
    /// The key is too long.
    #[error("the key has {found} bytes; {MAX_KEY_BYTES} is the most")]
    Key {
        /// Its length.
        found: usize,
    },
    /// Keys and values together are too large.
    #[error("keys and values would take {wanted} bytes; {quota} are granted")]
    Total {
        /// What they would take.
        wanted: u64,
        /// What is granted.
        quota: u64,
    },
}

impl Store {
    /// A plugin's value under a key.
    pub fn kv_get(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>> {
        self.read(|snapshot| Ok(snapshot.open(KV)?.get((plugin, key))?.map(|value| value.value().to_vec())))
    }

    /// Sets a plugin's value under a key, where its keys and values then take no more than `quota` bytes.
    pub async fn kv_set(
        &self,
        plugin: &str,
        key: &str,
        value: Vec<u8>,
        quota: u64,
    ) -> Result<Result<(), QuotaExceeded>> {
        if key.len() > MAX_KEY_BYTES {
            return Ok(Err(QuotaExceeded::Key { found: key.len() }));
        }
        let (plugin, key) = (plugin.to_owned(), key.to_owned());
        self.write(move |tx| {
            let wanted = used_without(tx, &plugin, &key)?.0 + size(&key, &value);
            if wanted > quota {
                return Ok(Err(QuotaExceeded::Total { wanted, quota }));
            }
            tx.change(KV)?.insert((plugin.as_str(), key.as_str()), value.as_slice())?;
            tx.change(USED)?.insert(plugin.as_str(), wanted)?;
            Ok(Ok(()))
        })
        .await
    }

    /// Deletes a plugin's value; false when there was none.
    pub async fn kv_delete(&self, plugin: &str, key: &str) -> Result<bool> {
        let (plugin, key) = (plugin.to_owned(), key.to_owned());
        self.write(move |tx| {
            let (used, found) = used_without(tx, &plugin, &key)?;
            if found {
                tx.change(KV)?.remove((plugin.as_str(), key.as_str()))?;
                tx.change(USED)?.insert(plugin.as_str(), used)?;
            }
            Ok(found)
        })
        .await
    }

    /// Bytes in a plugin's keys and values.
    pub fn kv_used(&self, plugin: &str) -> Result<u64> {
        self.read(|snapshot| Ok(snapshot.open(USED)?.get(plugin)?.map_or(0, |used| used.value())))
    }

    /// Erases all that a plugin has set, in commits of a bounded size. Says how many keys there were.
    pub async fn kv_erase(&self, plugin: &str) -> Result<u64> {
        let mut erased = 0;
        loop {
            let keys = self.kv_keys(plugin, "", None, ERASED_AT_ONCE)?;
            let (count, plugin) = (keys.len(), plugin.to_owned());
            let is_last = count < ERASED_AT_ONCE;
            self.write(move |tx| {
                let mut table = tx.change(KV)?;
                for key in &keys {
                    table.remove((plugin.as_str(), key.as_str()))?;
                }
                if is_last {
                    tx.change(USED)?.remove(plugin.as_str())?;
                }
                Ok(())
            })
            .await?;
            erased += count as u64;
            if is_last {
                return Ok(erased);
            }
        }
    }

    /// Up to `limit` (at most 1,000) of a plugin's keys with a prefix, in byte order, those behind `after` if given.
    pub fn kv_keys(
        &self,
        plugin: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded((plugin, after)),
            _ => Bound::Included((plugin, prefix)),
        };
        self.read(|snapshot| {
            let mut keys = Vec::new();
            for entry in snapshot.open(KV)?.range((from, Bound::Unbounded))?.take(limit.min(MAX_KEYS)) {
                let entry = entry?;
                let (owner, key) = entry.0.value();
                if owner != plugin || !key.starts_with(prefix) {
                    break;
                }
                keys.push(key.to_owned());
            }
            Ok(keys)
        })
    }
}

fn size(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

/// Bytes that a plugin uses without one of its keys, and whether that key is there.
fn used_without(tx: &Tx<'_>, plugin: &str, key: &str) -> Result<(u64, bool), Failure> {
    let used = tx.open(USED)?.get(plugin)?.map_or(0, |used| used.value());
    let held = tx.open(KV)?.get((plugin, key))?.map(|value| size(key, value.value()));
    Ok((used.saturating_sub(held.unwrap_or(0)), held.is_some()))
}
