//! Opening the store: what can be wrong with its file, and what is kept in memory of it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageError, WriteTransaction,
};
use tokio::sync::{mpsc, watch};

use super::handle::Store;
use super::ids::{self, Ids};
use super::index::{Index, SESSION_INDEX, status_code};
use super::ready::Ready;
use super::rows::Cause;
use super::sessions::{SESSIONS, SessionRow};
use super::subscriptions::Subscriptions;
use super::tx::{FILE, META, NEWEST_ID, Shared, VERSION};
use super::{
    approvals, audit, blobs, channels, deliveries, erasure, hooks, idempotency, kv, load, memory, messages,
    outbox, plugins, queue, spending, streams, tokens, turns, writer,
};
use prx_base::clock::Clock;
use prx_base::events::Events;

/// The version of the tables that this kernel reads and writes.
const SERVED: u64 = 2;
/// The first version with a [`SESSION_INDEX`].
const WITH_SESSION_INDEX: u64 = 2;
/// Events that a reader of the bus may fall behind before it misses some.
const BUS_CAPACITY: usize = 1024;
/// Verbs that wait for the writer; more callers than that wait to be let in.
const MAX_ORDERS: usize = 1024;
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

/// What is read of the file before the first verb.
struct Opened {
    database: Database,
    /// What was committed then.
    committed: ReadTransaction,
    ready: Ready,
    subscriptions: Subscriptions,
    newest_id: u64,
    blobs: PathBuf,
}

impl Store {
    /// Whether there is one in a data directory.
    pub fn exists(data_dir: &Path) -> bool {
        data_dir.join(FILE).exists()
    }

    /// Opens the store in a data directory; makes both where there are none, readable by their owner only. What this
    /// takes does not grow with the number of sessions, but for the first time after an update of the tables.
    ///
    /// # Errors
    /// Says which of the things that can be wrong is, and what to do about it.
    pub fn open(data_dir: &Path, clock: Clock) -> Result<Self, OpenError> {
        let path = data_dir.join(FILE);
        let blobs = prepare(data_dir, &path)?;
        // The database trusts the file and may panic over one that something else has written to.
        let opened = catch_unwind(|| {
            let database = Database::builder().set_cache_size(CACHE_BYTES).create(&path);
            read(database.map_err(|error| refusal(&path, error))?, &path, blobs)
        });
        let opened = opened.unwrap_or_else(|_| Err(corrupt(&path, "its pages contradict each other")))?;
        Self::start(opened, clock)
            .map_err(|source| OpenError::Unwritable { path: data_dir.to_owned(), source })
    }

    /// Sets the writer to work, and has the index of sessions loaded.
    fn start(opened: Opened, clock: Clock) -> io::Result<Self> {
        let Opened { database, committed, ready, subscriptions, newest_id, blobs } = opened;
        let shared = Arc::new(Shared {
            events: Events::new(BUS_CAPACITY),
            clock,
            healthy: AtomicBool::new(true),
            commits: AtomicU64::new(0),
            database: RwLock::new(Some(database)),
            ids: Ids::after(newest_id),
            blobs,
            index: Index::loading(),
            subscriptions,
            announced: Mutex::default(),
            ready,
            notified: Ready::default(),
            outboxes: Mutex::default(),
            revoked: watch::Sender::new(()),
            deliveries: watch::Sender::new(()),
        });
        let (orders, receiver) = mpsc::channel(MAX_ORDERS);
        let (writing, loading) = (shared.clone(), shared.clone());
        thread::Builder::new().name("store-load".into()).spawn(move || load::run(&loading, committed))?;
        thread::Builder::new().name("store".into()).spawn(move || writer::run(&writing, receiver))?;
        Ok(Self { shared, orders })
    }
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
fn read(database: Database, path: &Path, blobs: PathBuf) -> Result<Opened, OpenError> {
    let damaged = |cause: Cause| corrupt(path, cause);
    let transaction = database.begin_write().map_err(|error| corrupt(path, error))?;
    let found = version(&transaction).map_err(damaged)?;
    if found > SERVED {
        return Err(OpenError::Newer { found, served: SERVED });
    }
    create_tables(&transaction).map_err(damaged)?;
    if found < WITH_SESSION_INDEX {
        index_sessions(&transaction).map_err(damaged)?;
    }
    let ready = Ready::default();
    for session in queue::waiting(&transaction).map_err(damaged)? {
        ready.push(session);
    }
    let subscriptions = Subscriptions::of(hooks::all(&transaction).map_err(damaged)?);
    let newest_id = newest_id(&transaction).map_err(damaged)?;
    blobs::recover(&transaction, &blobs).map_err(damaged)?;
    transaction.commit().map_err(|error| match error.into() {
        redb::Error::Io(source) => OpenError::Unwritable { path: path.to_owned(), source },
        other => corrupt(path, other),
    })?;
    let committed = database.begin_read().map_err(|error| corrupt(path, error))?;
    Ok(Opened { database, committed, ready, subscriptions, newest_id, blobs })
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

fn create_tables(transaction: &WriteTransaction) -> Result<(), Cause> {
    SESSIONS.create(transaction)?;
    transaction.open_table(SESSION_INDEX)?;
    messages::create_tables(transaction)?;
    turns::create_tables(transaction)?;
    blobs::create_tables(transaction)?;
    channels::create_tables(transaction)?;
    approvals::create_tables(transaction)?;
    audit::create_tables(transaction)?;
    outbox::create_tables(transaction)?;
    spending::create_tables(transaction)?;
    streams::create_tables(transaction)?;
    hooks::create_tables(transaction)?;
    deliveries::create_tables(transaction)?;
    erasure::create_tables(transaction)?;
    tokens::create_tables(transaction)?;
    plugins::create_tables(transaction)?;
    kv::create_tables(transaction)?;
    memory::create_tables(transaction)?;
    idempotency::create_tables(transaction)?;
    Ok(())
}
