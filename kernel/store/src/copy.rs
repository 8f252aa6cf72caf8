//! A copy of the store as it was at one moment, made while it goes on: what a backup is taken of.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::Database;

use super::file::{CACHE_BYTES, FILE};
use super::handle::Store;
use super::plugins::ARTIFACTS;
use super::rows::{Cause, Result};
use super::tx::Shared;
use super::{blobs, tables};
use prx_base::error::{Code, Error};

/// Where a copy is made, in the data directory: on the same disk, so that files are linked.
const FOLDER: &str = "copy.partial";

/// A copy of the store in a folder: its file, and the files of its blobs. Gone when dropped.
#[derive(Debug)]
pub struct StoreCopy {
    folder: PathBuf,
}

impl StoreCopy {
    /// The copy of the store's file. It holds what is kept and nothing of what was removed, and no digests of compiled
    /// components, which are another machine's.
    pub fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// The folder with the files of its blobs, each named by its id.
    pub fn blobs(&self) -> PathBuf {
        blobs::folder(&self.folder)
    }
}

impl Drop for StoreCopy {
    fn drop(&mut self) {
        // What stays behind is removed by the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Store {
    /// Copies the store as it is at this moment, with all that was acknowledged before. Nobody waits for it; the disk holds
    /// both as long as the copy is there, and the store's file grows a little while it is made.
    ///
    /// # Errors
    /// `conflict` while there is another copy; `unavailable` if the disk takes none.
    pub async fn copy(&self) -> Result<StoreCopy> {
        let shared = self.shared.clone();
        let copied = tokio::task::spawn_blocking(move || copy(&shared));
        copied.await.map_err(Error::internal)?
    }
}

/// Removes what an earlier process has left.
pub(super) fn clear(data_dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(data_dir.join(FOLDER)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy(shared: &Shared) -> Result<StoreCopy> {
    let folder = shared.file.with_file_name(FOLDER);
    DirBuilder::new().mode(0o700).create(&folder).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::conflict("The store is being copied already; try again later"),
        _ => refused(shared, error.into()),
    })?;
    // From here on it goes away with this.
    let copy = StoreCopy { folder };
    let filled = catch_unwind(AssertUnwindSafe(|| fill(shared, &copy)));
    match filled.unwrap_or_else(|_| Err("the database contradicts itself".into())) {
        Ok(()) => Ok(copy),
        Err(cause) => Err(refused(shared, cause)),
    }
}

fn fill(shared: &Shared, copy: &StoreCopy) -> Result<(), Cause> {
    DirBuilder::new().mode(0o700).create(copy.blobs())?;
    let snapshot = shared.snapshot()?;
    let gone = blobs::link(&snapshot, &shared.blobs, &copy.blobs())?;
    let database = Database::builder().set_cache_size(CACHE_BYTES).create(copy.file())?;
    let transaction = database.begin_write()?;
    tables::all().try_for_each(|table| table.copy(&snapshot, &transaction))?;
    drop(snapshot);
    blobs::leave_out(&transaction, &gone)?;
    transaction.open_table(ARTIFACTS)?.retain(|_, _| false)?;
    transaction.commit()?;
    Ok(database.close()?)
}

fn refused(shared: &Shared, cause: Cause) -> Error {
    let size = shared.file.metadata().map_or(0, |file| file.len());
    let message = format!(
        "The store can't be copied ({cause}); a copy takes up to {size} bytes in the data directory for as long as it is read"
    );
    Error::new(Code::Unavailable, message).with_cause(cause)
}
