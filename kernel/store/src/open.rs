//! Opening the store: its file, and what works on it.

use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;

use redb::{Database, DatabaseError, ReadOnlyDatabase};
use tokio::sync::{mpsc, watch};

use super::file::{self, CACHE_BYTES, FILE, OpenError, Opened};
use super::handle::Store;
use super::ids::Ids;
use super::index::Index;
use super::ready::Ready;
use super::subscriptions::Subscriptions;
use super::tx::Shared;
use super::{blobs, copy, load, writer};
use prx_base::clock::Clock;
use prx_base::events::Events;

/// Events that a reader of the bus may fall behind before it misses some.
const BUS_CAPACITY: usize = 1024;
/// Verbs that wait for the writer; more callers than that wait to be let in.
const MAX_ORDERS: usize = 1024;

/// A store that nobody opens.
pub struct Held {
    _database: ReadOnlyDatabase,
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
        Self::open_as(data_dir, clock, false)
    }

    /// The same, after every page of the file was looked at: one that something else has changed is found. Takes as long as
    /// reading the whole file does.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open_verified(data_dir: &Path, clock: Clock) -> Result<Self, OpenError> {
        Self::open_as(data_dir, clock, true)
    }

    /// Keeps everyone from opening the store in a data directory for as long as this is held; none where there is no store
    /// that could be opened.
    ///
    /// # Errors
    /// Somebody has it open.
    pub fn hold(data_dir: &Path) -> Result<Option<Held>, OpenError> {
        let path = data_dir.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        // The database trusts the file and may panic over one that something else has written to.
        let opened = catch_unwind(|| Database::builder().set_cache_size(0).open_read_only(&path));
        match opened {
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(OpenError::Locked { path }),
            Ok(Ok(database)) => Ok(Some(Held { _database: database })),
            _ => Ok(None),
        }
    }

    fn open_as(data_dir: &Path, clock: Clock, verified: bool) -> Result<Self, OpenError> {
        let path = data_dir.join(FILE);
        file::prepare(data_dir, &path)?;
        let unwritable = |source| OpenError::Unwritable { path: data_dir.to_owned(), source };
        let opened = file::guarded(&path, || {
            let mut builder = Database::builder();
            let database =
                builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(verified).create(&path);
            let database = database.map_err(|error| file::refusal(&path, error))?;
            copy::clear(data_dir).map_err(unwritable)?;
            // After the file, so that the folder shows that there was a store.
            let blobs = blobs::prepare(data_dir).map_err(unwritable)?;
            file::read(database, &path, |transaction| blobs::recover(transaction, &blobs))
        })?;
        Self::start(opened, path, blobs::folder(data_dir), clock).map_err(unwritable)
    }

    /// Sets the writer to work, and has the index of sessions loaded.
    fn start(opened: Opened, file: PathBuf, blobs: PathBuf, clock: Clock) -> io::Result<Self> {
        let Opened { database, committed, waiting, hooks, observed, newest_id } = opened;
        let ready = Ready::default();
        waiting.into_iter().for_each(|session| ready.push(session));
        let (orders, receiver) = mpsc::channel(MAX_ORDERS);
        let shared = Arc::new(Shared {
            events: Events::new(BUS_CAPACITY),
            clock,
            healthy: AtomicBool::new(true),
            problem: Mutex::default(),
            reopened: watch::Sender::new(0),
            orders: orders.downgrade(),
            file,
            commits: AtomicU64::new(0),
            database: RwLock::new(Some(database)),
            ids: Ids::after(newest_id),
            blobs,
            index: Index::loading(),
            subscriptions: Subscriptions::of(hooks, observed),
            announced: Mutex::default(),
            ready,
            notified: Ready::default(),
            outboxes: Mutex::default(),
            revoked: watch::Sender::new(()),
            deliveries: watch::Sender::new(()),
        });
        let (writing, loading) = (shared.clone(), shared.clone());
        thread::Builder::new().name("store-load".into()).spawn(move || load::run(&loading, committed))?;
        thread::Builder::new().name("store".into()).spawn(move || writer::run(&writing, receiver))?;
        Ok(Self { shared, orders })
    }
}
