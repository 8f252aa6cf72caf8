//! What is done with every table alike, whatever its rows are: it is made, copied, and read through.

use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, TableHandle, Value, WriteTransaction};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::rows::{Cause, Rows};

/// A table of the file. Those of one noun are listed beside it, in its `TABLES`.
pub(super) trait Kept {
    /// Its name in the file.
    fn table_name(&self) -> &str;

    /// Makes the table where there is none, so that a snapshot finds it.
    fn create(&self, transaction: &WriteTransaction) -> Result<(), Cause>;

    /// Adds all its rows to the table of the same name in another file.
    fn copy(&self, from: &ReadTransaction, to: &WriteTransaction) -> Result<(), Cause>;

    /// Reads every row, and tells of those that can't be read: their key, and why. Returns how many rows there are.
    fn read_through(
        &self,
        from: &ReadTransaction,
        unreadable: &mut dyn FnMut(String, String),
    ) -> Result<u64, Cause>;
}

impl<K: Key + 'static, V: Value + 'static> Kept for TableDefinition<'static, K, V> {
    fn table_name(&self) -> &str {
        self.name()
    }

    fn create(&self, transaction: &WriteTransaction) -> Result<(), Cause> {
        transaction.open_table(*self)?;
        Ok(())
    }

    fn copy(&self, from: &ReadTransaction, to: &WriteTransaction) -> Result<(), Cause> {
        let mut copy = to.open_table(*self)?;
        for row in from.open_table(*self)?.iter()? {
            let (key, value) = row?;
            copy.insert(key.value(), value.value())?;
        }
        Ok(())
    }

    fn read_through(&self, from: &ReadTransaction, _: &mut dyn FnMut(String, String)) -> Result<u64, Cause> {
        let mut rows = 0;
        for row in from.open_table(*self)?.iter()? {
            row?;
            rows += 1;
        }
        Ok(rows)
    }
}

impl<K: Key + 'static, R: DeserializeOwned> Kept for Rows<K, R> {
    fn table_name(&self) -> &str {
        self.table.name()
    }

    fn create(&self, transaction: &WriteTransaction) -> Result<(), Cause> {
        self.table.create(transaction)
    }

    fn copy(&self, from: &ReadTransaction, to: &WriteTransaction) -> Result<(), Cause> {
        self.table.copy(from, to)
    }

    fn read_through(
        &self,
        from: &ReadTransaction,
        unreadable: &mut dyn FnMut(String, String),
    ) -> Result<u64, Cause> {
        let mut rows = 0;
        for row in from.open_table(self.table)?.iter()? {
            let (key, value) = row?;
            rows += 1;
            if let Err(error) = serde_json::from_slice::<R>(value.value()) {
                let is_json = serde_json::from_slice::<IgnoredAny>(value.value()).is_ok();
                let what = if is_json { error.to_string() } else { format!("it is no JSON: {error}") };
                unreadable(format!("{:?}", key.value()), what);
            }
        }
        Ok(rows)
    }
}
