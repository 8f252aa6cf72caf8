//! Opening the store: its file, and what works on it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;

use redb::Database;
use tokio::sync::{mpsc, watch};

use super::file::{self, CACHE_BYTES, FILE, OpenError, Opened};
use super::handle::Store;
use super::ids::Ids;
use super::index::Index;
use super::ready::Ready;
use super::subscriptions::Subscriptions;
use super::tx::Shared;
use super::{blobs, load, writer};
use prx_base::clock::Clock;
use prx_base::events::Events;

/// Events that a reader of the bus may fall behind before it misses some.
const BUS_CAPACITY: usize = 1024;
/// Verbs that wait for the writer; more callers than that wait to be let in.
const MAX_ORDERS: usize = 1024;

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
        file::prepare(data_dir, &path)?;
        let unwritable = |source| OpenError::Unwritable { path: data_dir.to_owned(), source };
        let opened = file::guarded(&path, || {
            let database = Database::builder().set_cache_size(CACHE_BYTES).create(&path);
            let database = database.map_err(|error| file::refusal(&path, error))?;
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
