//! What the agent remembers between sessions.

use std::ops::Bound;

use jiff::Timestamp;
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::Store;
use super::rows::{Cause, Rows};
use crate::error::{Error, Result};

const MEMORY: Rows<&str, MemoryEntry> = Rows::new("memory");

pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), Cause> {
    Ok(MEMORY.create(transaction)?)
}

/// One thing remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEntry {
    /// `mem_<ulid>`
    pub id: String,
    /// What.
    pub text: String,
    /// Whom it is about; none for everyone.
    pub user_id: Option<String>,
    /// The session it comes from.
    pub session: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}

/// Something to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMemory {
    /// What.
    pub text: String,
    /// Whom it is about; none for everyone.
    pub user_id: Option<String>,
    /// The session it comes from.
    pub session: Option<String>,
}

impl Store {
    /// How many things are remembered.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub fn memory_entries(&self) -> Result<u64> {
        self.read(|snapshot| snapshot.count(&MEMORY))
    }

    /// Remembers something.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub async fn add_memory(&self, new: NewMemory) -> Result<MemoryEntry> {
        self.write(move |tx| {
            let entry = MemoryEntry {
                id: tx.id("mem"),
                text: new.text,
                user_id: new.user_id,
                session: new.session,
                created_at: tx.now(),
            };
            tx.put(&MEMORY, entry.id.as_str(), &entry)?;
            Ok(entry)
        })
        .await
    }

    /// Up to `limit` of what is remembered, oldest first, from the beginning or after a given entry.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub fn memories(&self, limit: usize, after: Option<&str>) -> Result<Vec<MemoryEntry>> {
        let from = Bound::Excluded(after.unwrap_or_default());
        self.read(|snapshot| snapshot.page(&MEMORY, (from, Bound::Unbounded), limit))
    }

    /// Forgets something.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn delete_memory(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.write(move |tx| {
            tx.get(&MEMORY, id.as_str())?.ok_or_else(|| Error::not_found("Memory", &id))?;
            tx.remove(&MEMORY, id.as_str())
        })
        .await
    }
}
