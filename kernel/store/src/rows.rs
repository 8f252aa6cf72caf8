//! Typed tables, and the two ways to them: a snapshot to read, a transaction to change.

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::marker::PhantomData;
use std::ops::RangeBounds;

use jiff::Timestamp;
use redb::{
    AccessGuard, Key, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, Value, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::index::Seat;
use super::{Page, Shared};
use prx_base::error::Error;

/// The most rows one read returns.
pub const MAX_PAGE: usize = 500;

/// A table whose rows are JSON.
pub(super) struct Rows<K: Key + 'static, R> {
    table: TableDefinition<'static, K, &'static [u8]>,
    row: PhantomData<fn() -> R>,
}

impl<K: Key + 'static, R> Rows<K, R> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { table: TableDefinition::new(name), row: PhantomData }
    }

    /// Makes the table where there is none, so that a snapshot finds it.
    pub(super) fn create(&self, transaction: &WriteTransaction) -> Result<(), redb::TableError> {
        transaction.open_table(self.table).map(drop)
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

fn decode<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        let row = std::any::type_name::<R>();
        Error::internal(format!("a stored {row} cannot be read: {error}")).into()
    })
}

fn row<K: Key + 'static, R: DeserializeOwned>(
    table: &impl ReadableTable<K, &'static [u8]>,
    key: K::SelfType<'_>,
) -> Result<Option<R>, Failure> {
    table.get(key)?.map(|bytes| decode(bytes.value())).transpose()
}

type Entry<'t, K> = redb::Result<(AccessGuard<'t, K>, AccessGuard<'t, &'static [u8]>)>;

fn rows<'t, K: Key + 'static, R: DeserializeOwned>(
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

/// What others learn once a change is durable.
pub(super) enum Effect {
    /// A session was made or changed its standing.
    Session { before: Option<Seat>, after: Seat },
    /// A session has a turn waiting.
    Turn(String),
    /// Something was said to a session's turn at work.
    Told(String),
    /// A channel has something to send.
    Outbox(String),
    /// A token is good no more.
    Revoked,
}

/// A verb's view of the transaction that it shares with the other verbs of its batch.
///
/// A verb checks everything before its first `put`, `remove` or `change`: there is no way back from those.
pub(super) struct Tx<'t> {
    transaction: &'t WriteTransaction,
    shared: &'t Shared,
    now: Timestamp,
    wrote: Cell<bool>,
    effects: &'t RefCell<Vec<Effect>>,
}

impl<'t> Tx<'t> {
    pub(super) fn new(
        transaction: &'t WriteTransaction,
        shared: &'t Shared,
        effects: &'t RefCell<Vec<Effect>>,
    ) -> Self {
        Self { transaction, shared, now: shared.clock.now(), wrote: Cell::new(false), effects }
    }

    /// The moment at which this verb happens.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// A new id, larger than every one before it.
    pub(super) fn id(&self, prefix: &str) -> String {
        self.shared.ids.next(prefix, self.now)
    }

    /// Whether this verb has changed anything.
    pub(super) fn wrote(&self) -> bool {
        self.wrote.get()
    }

    /// Tells others, once the batch is committed.
    pub(super) fn announce(&self, effect: Effect) {
        self.effects.borrow_mut().push(effect);
    }

    /// A table whose values are not JSON rows, to look into.
    pub(super) fn open<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<Table<'t, K, V>, Failure> {
        Ok(self.transaction.open_table(table)?)
    }

    /// A table whose values are not JSON rows, to change.
    pub(super) fn change<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'_, K, V>,
    ) -> Result<Table<'t, K, V>, Failure> {
        self.wrote.set(true);
        self.open(table)
    }

    pub(super) fn get<K: Key + 'static, R: DeserializeOwned>(
        &self,
        rows: &Rows<K, R>,
        key: K::SelfType<'_>,
    ) -> Result<Option<R>, Failure> {
        row(&self.open(rows.table)?, key)
    }

    /// Up to `limit` rows of a range, from its beginning.
    pub(super) fn page<'k, K: Key + 'static, R: DeserializeOwned>(
        &self,
        table: &Rows<K, R>,
        range: impl RangeBounds<K::SelfType<'k>> + 'k,
        limit: usize,
    ) -> Result<Vec<R>, Failure> {
        rows(self.open(table.table)?.range(range)?, limit)
    }

    pub(super) fn put<K: Key + 'static, R: Serialize>(
        &self,
        rows: &Rows<K, R>,
        key: K::SelfType<'_>,
        row: &R,
    ) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(row).map_err(|error| Failure::Fatal(error.into()))?;
        self.change(rows.table)?.insert(key, bytes.as_slice())?;
        Ok(())
    }

    pub(super) fn remove<K: Key + 'static, R>(
        &self,
        rows: &Rows<K, R>,
        key: K::SelfType<'_>,
    ) -> Result<(), Failure> {
        self.change(rows.table)?.remove(key)?;
        Ok(())
    }

    /// Removes all rows of a range.
    pub(super) fn clear<'k, K: Key + 'static, R>(
        &self,
        rows: &Rows<K, R>,
        range: impl RangeBounds<K::SelfType<'k>> + 'k,
    ) -> Result<(), Failure> {
        Ok(self.change(rows.table)?.retain_in(range, |_, _| false)?)
    }
}
