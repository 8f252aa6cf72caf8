//! Compaction: the room of what was removed is given back to the disk, and what is left of it in the file overwritten.
//!
//! It happens on the writer's thread, between two commits. Whoever reads or writes meanwhile waits for it.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;

use redb::{CompactionError, Database, ReadableTableMetadata, TableDefinition};
use tokio::sync::oneshot;

use super::handle::Store;
use super::model::Compacted;
use super::rows::{Cause, Result};
use super::tx::{Order, Shared, failed};
use prx_base::error::{Error, Result as Answer};

/// Filled and emptied again, so that what the free pages of the file held is written over.
const FILLING: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("filling");
/// One value of the filling, in bytes: it takes a page of its own.
const PIECE: usize = 3 << 10;
/// The most that is filled in one go, in bytes; after a compaction less than that is free.
const MAX_FILLING: u64 = 64 << 20;
/// Pieces of one commit.
const BATCH: u64 = 4096;

/// What the store's file takes of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceUse {
    /// The file, in bytes.
    pub file: u64,
    /// What of it holds something.
    pub used: u64,
}

impl SpaceUse {
    /// What is free in the file, in bytes.
    pub fn free(self) -> u64 {
        self.file.saturating_sub(self.used)
    }
}

impl Store {
    /// What the file takes of the disk, in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.shared.file_bytes().unwrap_or_default()
    }

    /// How many commits there were since the store was opened, to see whether it rests.
    pub fn commits(&self) -> u64 {
        self.shared.commits()
    }

    /// How much of the file is free. Looks at every page, beside whoever writes.
    pub async fn space_use(&self) -> Result<SpaceUse> {
        let store = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let used = store.read(|snapshot| {
                let mut used = 0;
                for table in snapshot.0.list_tables()? {
                    let stats = snapshot.0.open_untyped_table(table)?.stats()?;
                    used += stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes();
                }
                Ok(used)
            })?;
            Ok(SpaceUse { file: store.file_bytes(), used })
        });
        looked.await.map_err(Error::internal)?
    }

    /// Gives the room of what was removed back to the disk; afterwards nothing of it is left in the file. Whoever reads or
    /// writes meanwhile waits: for about a second for every 100 MB that are left.
    ///
    /// # Errors
    /// `conflict` while something is being read that takes long.
    pub async fn compact(&self) -> Result<Compacted> {
        let (caller, answer) = oneshot::channel();
        self.orders.send(Order::Compact(caller)).await.map_err(|_| failed())?;
        answer.await.map_err(|_| failed())?
    }
}

impl Shared {
    fn file_bytes(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.file)?.len())
    }

    /// Compacts the file. A disk that fails meanwhile fails the store.
    pub(super) fn compact(&self) -> Answer<Compacted> {
        // Right after the start the index is still read from what was committed before.
        self.index.with(|_| ());
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_mut().filter(|_| self.is_healthy()).ok_or_else(failed)?;
        let before = self.file_bytes().map_err(Error::internal)?;
        // Whatever a panic leaves behind is not used again: the store is unhealthy from here on.
        let done = catch_unwind(AssertUnwindSafe(|| compact(database, || self.file_bytes())));
        match done.unwrap_or_else(|_| Err(Problem::Broken("the database contradicts itself".into()))) {
            Ok(()) => Ok(Compacted { before, after: self.file_bytes().map_err(Error::internal)? }),
            Err(Problem::Busy) => {
                Err(Error::conflict("The store is being read, which takes a while; compact it again later"))
            }
            Err(Problem::Broken(cause)) => {
                self.fail(cause);
                Err(failed())
            }
        }
    }
}

enum Problem {
    Busy,
    Broken(Cause),
}

impl<E: Into<Cause>> From<E> for Problem {
    fn from(cause: E) -> Self {
        Self::Broken(cause.into())
    }
}

fn compact(database: &mut Database, size: impl Fn() -> io::Result<u64>) -> Result<(), Problem> {
    squeeze(database)?;
    // Pages that stay free in the file hold what they held. As much is written as there is room for without growing.
    let whole = size()?;
    let pieces = whole.min(MAX_FILLING) / PIECE as u64;
    let batch = BATCH.min(pieces / 8 + 64);
    let mut filled = 0;
    while filled <= pieces && size()? <= whole {
        let transaction = database.begin_write()?;
        let mut table = transaction.open_table(FILLING)?;
        for piece in filled..filled + batch {
            table.insert(piece, [0; PIECE].as_slice())?;
        }
        drop(table);
        transaction.commit()?;
        filled += batch;
    }
    let transaction = database.begin_write()?;
    transaction.delete_table(FILLING)?;
    transaction.commit()?;
    squeeze(database)
}

fn squeeze(database: &mut Database) -> Result<(), Problem> {
    match database.compact() {
        Ok(_) => Ok(()),
        Err(CompactionError::TransactionInProgress) => Err(Problem::Busy),
        Err(error) => Err(Problem::Broken(error.into())),
    }
}
