//! Opening the file: what can be wrong with it, and what is kept in memory of it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableTable, StorageError, WriteTransaction};

use super::index::{Seat, SessionIndex};
use super::rows::Cause;
use super::sessions::{SESSIONS, SessionRow};
use super::{
    META, NEWEST_ID, Ready, VERSION, approvals, blobs, channels, deliveries, hooks, idempotency, kv, memory,
    messages, outbox, plugins, spending, streams, tokens, turns,
};

/// The version of the tables that this kernel reads and writes.
const SERVED: u64 = 1;
const FILE: &str = "prx.redb";
const CACHE_BYTES: usize = 16 << 20;

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
        "{} cannot be written: {source}; make it writable or choose another --data-dir", path.display()
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

pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) index: SessionIndex,
    pub(super) ready: Ready,
    pub(super) newest_id: u64,
    pub(super) blobs: PathBuf,
}

/// Whether there is a store in a data directory.
pub(super) fn exists(data_dir: &Path) -> bool {
    data_dir.join(FILE).exists()
}

pub(super) fn open(data_dir: &Path) -> Result<Opened, OpenError> {
    let path = data_dir.join(FILE);
    let blobs = prepare(data_dir, &path)?;
    // The database trusts the file and may panic over one that something else has written to.
    let opened = catch_unwind(|| {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(&path);
        load(database.map_err(|error| refusal(&path, error))?, &path, blobs)
    });
    opened.unwrap_or_else(|_| Err(corrupt(&path, "its pages contradict each other")))
}

/// Makes what is not there yet. Answers with the folder for blobs.
fn prepare(data_dir: &Path, path: &Path) -> Result<PathBuf, OpenError> {
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        |source| OpenError::Unwritable { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(unwritable(data_dir))?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(unwritable(path))?;
    blobs::prepare(data_dir).map_err(unwritable(data_dir))
}

fn corrupt(path: &Path, reason: impl ToString) -> OpenError {
    OpenError::Corrupt { path: path.to_owned(), reason: reason.to_string() }
}

fn refusal(path: &Path, error: DatabaseError) -> OpenError {
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
fn load(database: Database, path: &Path, blobs: PathBuf) -> Result<Opened, OpenError> {
    let transaction = database.begin_write().map_err(|error| corrupt(path, error))?;
    let found = version(&transaction).map_err(|error| corrupt(path, error))?;
    if found > SERVED {
        return Err(OpenError::Newer { found, served: SERVED });
    }
    let (index, ready, newest_id) = scan(&transaction).map_err(|error| corrupt(path, error))?;
    blobs::recover(&transaction, &blobs).map_err(|error| corrupt(path, error))?;
    transaction.commit().map_err(|error| match error.into() {
        redb::Error::Io(source) => OpenError::Unwritable { path: path.to_owned(), source },
        other => corrupt(path, other),
    })?;
    Ok(Opened { database, index, ready, newest_id, blobs })
}

fn version(transaction: &WriteTransaction) -> Result<u64, Cause> {
    let mut meta = transaction.open_table(META)?;
    let found = meta.get(VERSION)?.map_or(0, |version| version.value());
    if found < SERVED {
        meta.insert(VERSION, SERVED)?;
    }
    Ok(found)
}

fn scan(transaction: &WriteTransaction) -> Result<(SessionIndex, Ready, u64), Cause> {
    create_tables(transaction)?;
    let (mut index, ready) = (SessionIndex::default(), Ready::default());
    SESSIONS.each(transaction, |row: SessionRow| {
        index.set(None, &Seat::of(&row.session));
        if row.waiting > 0 {
            ready.push(row.session.id);
        }
    })?;
    let newest_id = transaction.open_table(META)?.get(NEWEST_ID)?.map_or(0, |newest| newest.value());
    Ok((index, ready, newest_id))
}

fn create_tables(transaction: &WriteTransaction) -> Result<(), Cause> {
    SESSIONS.create(transaction)?;
    messages::create_tables(transaction)?;
    turns::create_tables(transaction)?;
    blobs::create_tables(transaction)?;
    channels::create_tables(transaction)?;
    approvals::create_tables(transaction)?;
    outbox::create_tables(transaction)?;
    spending::create_tables(transaction)?;
    streams::create_tables(transaction)?;
    hooks::create_tables(transaction)?;
    deliveries::create_tables(transaction)?;
    tokens::create_tables(transaction)?;
    plugins::create_tables(transaction)?;
    kv::create_tables(transaction)?;
    memory::create_tables(transaction)?;
    idempotency::create_tables(transaction)?;
    Ok(())
}
