//! Typed tables, and a snapshot to read them.

use std::error::Error as StdError;
use std::marker::PhantomData;
use std::ops::RangeBounds;

use redb::{
    AccessGuard, Key, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition,
    Value, WriteTransaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use prx_base::error::Error;

/// The most rows one read returns.
pub const MAX_PAGE: usize = 500;
/// Sorts behind every id.
pub(super) const LAST_ID: &str = "~";

/// What the verbs answer.
///
/// # Errors
/// Every verb fails with `unavailable` once the disk has failed or the store is closed. What else a verb refuses stands
/// with it.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Part of a longer list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// How many there are in all that match.
    pub total: usize,
}

/// A table whose rows are JSON.
pub(super) struct Rows<K: Key + 'static, R> {
    pub(super) table: TableDefinition<'static, K, &'static [u8]>,
    row: PhantomData<fn() -> R>,
}

impl<K: Key + 'static, R> Rows<K, R> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { table: TableDefinition::new(name), row: PhantomData }
    }

    /// The table itself, for those who look at its keys.
    pub(super) const fn table(&self) -> TableDefinition<'static, K, &'static [u8]> {
        self.table
    }
}

impl<K: Key + 'static, R: DeserializeOwned> Rows<K, R> {
    /// Goes over all rows, for what is kept in memory.
    pub(super) fn each(&self, transaction: &WriteTransaction, mut see: impl FnMut(R)) -> Result<(), Cause> {
        for entry in transaction.open_table(self.table)?.iter()? {
            see(serde_json::from_slice(entry?.1.value())?);
        }
        Ok(())
    }
}

/// Why a verb did not do what it was asked.
pub(super) enum Failure {
    /// The caller asked for something that cannot be; nothing was written.
    Refused(Error),
    /// The store itself is broken.
    Fatal(Cause),
}

impl Failure {
    /// What is wrong, where a refusal can't be answered to anyone.
    pub(super) fn into_cause(self) -> Cause {
        match self {
            Self::Refused(error) => error.into(),
            Self::Fatal(cause) => cause,
        }
    }
}

pub(super) type Cause = Box<dyn StdError + Send + Sync>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<redb::StorageError> for Failure {
    fn from(error: redb::StorageError) -> Self {
        Self::Fatal(error.into())
    }
}

impl From<redb::TableError> for Failure {
    fn from(error: redb::TableError) -> Self {
        Self::Fatal(error.into())
    }
}

impl From<redb::TransactionError> for Failure {
    fn from(error: redb::TransactionError) -> Self {
        Self::Fatal(error.into())
    }
}

pub(super) fn decode<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        let row = std::any::type_name::<R>();
        Error::internal(format!("a stored {row} cannot be read: {error}")).into()
    })
}

pub(super) fn row<K: Key + 'static, R: DeserializeOwned>(
    table: &impl ReadableTable<K, &'static [u8]>,
    key: K::SelfType<'_>,
) -> Result<Option<R>, Failure> {
    table.get(key)?.map(|bytes| decode(bytes.value())).transpose()
}

pub(super) type Entry<'t, K> = redb::Result<(AccessGuard<'t, K>, AccessGuard<'t, &'static [u8]>)>;

pub(super) fn rows<'t, K: Key + 'static, R: DeserializeOwned>(
    range: impl Iterator<Item = Entry<'t, K>>,
    limit: usize,
) -> Result<Vec<R>, Failure> {
    range.take(limit.min(MAX_PAGE)).map(|entry| decode(entry?.1.value())).collect()
}

/// What was committed at one moment. Lives no longer than the read it serves: an open one keeps the file growing.
pub(super) struct Snapshot(pub(super) ReadTransaction);

impl Snapshot {
    /// A table whose values are not JSON rows.
    pub(super) fn open<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, Failure> {
        Ok(self.0.open_table(table)?)
    }

    pub(super) fn get<K: Key + 'static, R: DeserializeOwned>(
        &self,
        rows: &Rows<K, R>,
        key: K::SelfType<'_>,
    ) -> Result<Option<R>, Failure> {
        row(&self.0.open_table(rows.table)?, key)
    }

    /// Up to `limit` rows of a range, from its beginning.
    pub(super) fn page<'k, K: Key + 'static, R: DeserializeOwned>(
        &self,
        table: &Rows<K, R>,
        range: impl RangeBounds<K::SelfType<'k>> + 'k,
        limit: usize,
    ) -> Result<Vec<R>, Failure> {
        rows(self.0.open_table(table.table)?.range(range)?, limit)
    }

    /// Up to `limit` rows behind the first `offset`, and how many there are in all.
    pub(super) fn slice<K: Key + 'static, R: DeserializeOwned>(
        &self,
        table: &Rows<K, R>,
        limit: usize,
        offset: usize,
    ) -> Result<Page<R>, Failure> {
        let items = rows(self.0.open_table(table.table)?.iter()?.skip(offset), limit)?;
        Ok(Page { items, total: usize::try_from(self.count(table)?).unwrap_or(usize::MAX) })
    }

    /// How many rows there are.
    pub(super) fn count<K: Key + 'static, R>(&self, rows: &Rows<K, R>) -> Result<u64, Failure> {
        Ok(self.0.open_table(rows.table)?.len()?)
    }

    /// Up to `limit` rows of a range, its last ones, in the table's order.
    pub(super) fn last_page<'k, K: Key + 'static, R: DeserializeOwned>(
        &self,
        table: &Rows<K, R>,
        range: impl RangeBounds<K::SelfType<'k>> + 'k,
        limit: usize,
    ) -> Result<Vec<R>, Failure> {
        let mut page = rows(self.0.open_table(table.table)?.range(range)?.rev(), limit)?;
        page.reverse();
        Ok(page)
    }
}
