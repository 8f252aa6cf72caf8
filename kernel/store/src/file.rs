//! The file of a store: how it is opened, what can be wrong with it, and what is read of it for memory.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{UnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageError, WriteTransaction,
};

use super::ids;
use super::index::{SESSION_INDEX, status_code};
use super::model::Hook;
use super::rows::Cause;
use super::sessions::{SESSIONS, SessionRow};
use super::tx::{META, NEWEST_ID, VERSION};
use super::{blobs, hooks, observers, queue, tables};

/// The version of the tables that this kernel reads and writes.
pub const SERVED: u64 = 2;
/// The first version with a [`SESSION_INDEX`].
const WITH_SESSION_INDEX: u64 = 2;
/// Its name in the data directory.
pub const FILE: &str = "prx.redb";
pub(super) const CACHE_BYTES: usize = 16 << 20;

/// Why a store cannot be opened. Each one reads as a line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another prx process; stop that one or choose another --data-dir", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The directory or the file cannot be made, read or written.
    #[error(
        "{} cannot be written: {source}; {}, or choose another --data-dir",
        path.display(),
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on its disk",
            _ => "make it writable",
        }
    )]
    Unwritable {
        /// The directory or the file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is damaged, or is no store.
    #[error("{} is damaged ({reason}); move it away or restore it from a backup", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of a store is there, and has nothing in it.
    #[error(
        "{} is empty, though there was a store in it; restore it from a backup, or remove the file to begin a new store",
        path.display()
    )]
    Emptied {
        /// The file.
        path: PathBuf,
    },
    /// A later version of the gateway wrote the file.
    #[error(
        "the store was written by a newer prx (format {found}, this one serves {served}); use that version"
    )]
    Newer {
        /// The file's version.
        found: u64,
        /// The one served.
        served: u64,
    },
}

/// What is read of the file before the first verb.
pub(super) struct Opened {
    pub(super) database: Database,
    /// What was committed then.
    pub(super) committed: ReadTransaction,
    /// Sessions with turns waiting.
    pub(super) waiting: Vec<String>,
    pub(super) hooks: Vec<Hook>,
    /// Whether there are observers.
    pub(super) observed: bool,
    pub(super) newest_id: u64,
}

/// Opens the file of a store that has failed. One that is gone is not made anew.
///
/// # Errors
/// As for [`Store::open`].
pub(super) fn again(path: &Path) -> Result<Opened, OpenError> {
    guarded(path, || {
        let database = Database::builder().set_cache_size(CACHE_BYTES).open(path);
        read(database.map_err(|error| refusal(path, error))?, path, |_| Ok(()))
    })
}

/// The database trusts the file and may panic over one that something else has written to.
pub(super) fn guarded(
    path: &Path,
    open: impl FnOnce() -> Result<Opened, OpenError> + UnwindSafe,
) -> Result<Opened, OpenError> {
    catch_unwind(open).unwrap_or_else(|_| Err(corrupt(path, "its pages contradict each other")))
}

/// Makes the directory and the file where they are not there yet.
pub(super) fn prepare(data_dir: &Path, path: &Path) -> Result<(), OpenError> {
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        |source| OpenError::Unwritable { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(unwritable(data_dir))?;
    let is_new = !path.exists();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(unwritable(path))?;
    let is_empty = file.metadata().map_err(unwritable(path))?.len() == 0;
    match blobs::folder(data_dir).exists() {
        true if is_new => {
            tracing::warn!(file = %path.display(), "the store of this data directory is gone; a new one is begun");
        }
        true if is_empty => return Err(OpenError::Emptied { path: path.to_owned() }),
        // A first start can be cut off before anything is written.
        _ => {}
    }
    Ok(())
}

fn corrupt(path: &Path, reason: impl ToString) -> OpenError {
    OpenError::Corrupt { path: path.to_owned(), reason: reason.to_string() }
}

pub(super) fn refusal(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::Locked { path: path.to_owned() },
        DatabaseError::Storage(StorageError::Io(source))
            if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            OpenError::Unwritable { path: path.to_owned(), source }
        }
        DatabaseError::Storage(StorageError::Io(source)) => corrupt(path, source),
        other => corrupt(path, other),
    }
}

/// Checks the version, makes what tables are missing, and takes into memory what is kept there.
pub(super) fn read(
    database: Database,
    path: &Path,
    recover: impl FnOnce(&WriteTransaction) -> Result<(), Cause>,
) -> Result<Opened, OpenError> {
    let damaged = |cause: Cause| corrupt(path, cause);
    let transaction = database.begin_write().map_err(|error| corrupt(path, error))?;
    let found = version(&transaction).map_err(damaged)?;
    if found > SERVED {
        return Err(OpenError::Newer { found, served: SERVED });
    }
    tables::all().try_for_each(|table| table.create(&transaction)).map_err(damaged)?;
    if found < WITH_SESSION_INDEX {
        index_sessions(&transaction).map_err(damaged)?;
    }
    let waiting = queue::waiting(&transaction).map_err(damaged)?;
    let hooks = hooks::all(&transaction).map_err(damaged)?;
    let observed = observers::any(&transaction).map_err(damaged)?;
    let newest_id = newest_id(&transaction).map_err(damaged)?;
    recover(&transaction).map_err(damaged)?;
    transaction.commit().map_err(|error| match error.into() {
        redb::Error::Io(source) => OpenError::Unwritable { path: path.to_owned(), source },
        other => corrupt(path, other),
    })?;
    let committed = database.begin_read().map_err(|error| corrupt(path, error))?;
    Ok(Opened { database, committed, waiting, hooks, observed, newest_id })
}

fn version(transaction: &WriteTransaction) -> Result<u64, Cause> {
    let mut meta = transaction.open_table(META)?;
    let found = meta.get(VERSION)?.map_or(0, |version| version.value());
    if found < SERVED {
        meta.insert(VERSION, SERVED)?;
    }
    Ok(found)
}

fn newest_id(transaction: &WriteTransaction) -> Result<u64, Cause> {
    Ok(transaction.open_table(META)?.get(NEWEST_ID)?.map_or(0, |newest| newest.value()))
}

/// Makes the compact index of a store that an earlier version has written.
fn index_sessions(transaction: &WriteTransaction) -> Result<(), Cause> {
    let mut index = transaction.open_table(SESSION_INDEX)?;
    let mut inserted = Ok(None);
    SESSIONS.each(transaction, |SessionRow { session, .. }| {
        if inserted.is_ok() {
            let about = (status_code(session.status), session.channel.as_str());
            inserted = index.insert(ids::ulid(&session.id).0, about).map(|_| None::<()>);
        }
    })?;
    inserted?;
    Ok(())
}
