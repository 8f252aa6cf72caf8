//! What must survive: sessions, messages and their files, turns, channel state, the outbox, hooks and their deliveries,
//! tokens, plugin records, key-value data and memories. Verbs, not get and put: each one is atomic, and durable when it returns.
//!
//! Nothing above this module knows the database. Reads are synchronous, short and bounded; changes go through one
//! writer that commits many of them at once.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;

use redb::{Database, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use self::ids::Ids;
use self::index::SessionIndex;
use self::rows::{Effect, Failure, Snapshot};
use self::writer::Order;
use prx_base::clock::Clock;
use prx_base::error::{Code, Error, Result};

pub use self::approvals::{Approval, Decision, NewApproval};
pub use self::blobs::{Blob, BlobLimits, FILES_OF_A_CALL, NewBlob};
pub use self::channels::{ChannelState, Command, NewInbound, StepCommit, StepReceipt};
pub use self::deliveries::{Attempt, Delivery, DeliveryStatus, Notice, Outcome, Round, Settled};
pub use self::hooks::{Hook, NewHook};
pub use self::idempotency::KeptAnswer;
pub use self::kv::{MAX_KEY_BYTES, QuotaExceeded};
pub use self::memory::{MemoryEntry, MemoryLimits, NewMemory, Owner, WordHit, WordHits};
pub use self::messages::{Attachment, AttachmentKind, Message, NewMessage, Role, ToolCall};
pub use self::open::OpenError;
pub use self::outbox::{DeadLetter, NewOutbound, OnUnknown, OutboxEntry, OutboxOutcome, OutboxState};
pub use self::plugins::PluginRecord;
pub use self::ready::Ready;
pub use self::rows::MAX_PAGE;
pub use self::sessions::{ANONYMOUS, Conversation, NewSession, Session, SessionFilter, SessionStatus, Usage};
pub use self::streams::Streamed;
pub use self::tokens::TokenRecord;
pub use self::turns::{
    Completed, Fate, InboundInfo, MAX_ATTEMPTS, Parked, ParkedTurn, Stop, Turn, TurnDone, TurnId,
};

mod approvals;
mod blobs;
mod channels;
mod deliveries;
mod hooks;
mod idempotency;
mod ids;
mod index;
mod kv;
mod memory;
mod messages;
mod open;
mod outbox;
mod plugins;
mod ready;
mod rows;
mod sessions;
mod spending;
mod streams;
#[cfg(test)]
mod tests;
mod tokens;
mod turns;
mod writer;

/// Numbers about the file itself.
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
/// The version of the tables, in [`META`].
const VERSION: &str = "version";
/// The millisecond in the newest id, in [`META`].
const NEWEST_ID: &str = "newest_id_ms";
/// Verbs that wait for the writer; more callers than that wait to be let in.
const MAX_ORDERS: usize = 1024;

/// Part of a longer list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// How many there are in all that match.
    pub total: usize,
}

/// A cheap-clone handle to the store of one data directory.
///
/// Every verb fails with `unavailable` once the disk has failed or the store is closed.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
}

/// What all handles and the writer have in common. No lock in here is held across an await.
struct Shared {
    clock: Clock,
    healthy: AtomicBool,
    /// None: closed. Only closing takes it for writing, so nobody waits here while it is open.
    database: RwLock<Option<Database>>,
    ids: Ids,
    /// Where the bytes of blobs are.
    blobs: PathBuf,
    index: RwLock<SessionIndex>,
    ready: Ready,
    told: Ready,
    outboxes: Mutex<HashMap<String, Arc<Notify>>>,
    revoked: watch::Sender<()>,
}

impl Store {
    /// Whether there is one in a data directory.
    pub fn exists(data_dir: &Path) -> bool {
        open::exists(data_dir)
    }

    /// Opens the store in a data directory; makes both where there are none, readable by their owner only.
    ///
    /// # Errors
    /// Says which of the things that can be wrong is, and what to do about it.
    pub fn open(data_dir: &Path, clock: Clock) -> Result<Self, OpenError> {
        let opened = open::open(data_dir)?;
        let shared = Arc::new(Shared {
            clock,
            healthy: AtomicBool::new(true),
            database: RwLock::new(Some(opened.database)),
            ids: Ids::after(opened.newest_id),
            blobs: opened.blobs,
            index: RwLock::new(opened.index),
            ready: opened.ready,
            told: Ready::default(),
            outboxes: Mutex::default(),
            revoked: watch::Sender::new(()),
        });
        let (orders, receiver) = mpsc::channel(MAX_ORDERS);
        let writer = {
            let shared = shared.clone();
            move || writer::run(&shared, receiver)
        };
        thread::Builder::new()
            .name("store".into())
            .spawn(writer)
            .map_err(|source| OpenError::Unwritable { path: data_dir.to_owned(), source })?;
        Ok(Self { shared, orders })
    }

    /// Whether the disk still takes what it is given. Once false it stays false until the store is opened anew.
    pub fn is_healthy(&self) -> bool {
        self.shared.is_healthy()
    }

    /// Finishes every verb that was asked for, brings it to disk and lets go of the file. Other handles fail from
    /// then on. A store that is merely dropped does the same on its own time.
    pub async fn close(self) {
        let (closer, closed) = oneshot::channel();
        // An error on either way says that it is closed already.
        if self.orders.send(Order::Close(closer)).await.is_ok() {
            let _ = closed.await;
        }
    }

    /// One bounded look at what is committed.
    fn read<T>(&self, look: impl FnOnce(&Snapshot) -> Result<T, Failure>) -> Result<T> {
        if !self.is_healthy() {
            return Err(failed());
        }
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(failed)?;
        let seen = match database.begin_read() {
            Ok(transaction) => look(&Snapshot(transaction)),
            Err(error) => Err(error.into()),
        };
        seen.map_err(|failure| match failure {
            Failure::Refused(error) => error,
            Failure::Fatal(cause) => {
                self.shared.fail(cause);
                failed()
            }
        })
    }
}

impl Shared {
    fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    fn fail(&self, cause: impl Display) {
        if self.healthy.swap(false, Ordering::AcqRel) {
            tracing::error!(%cause, "the store failed and takes nothing more; check the disk and restart");
        }
    }

    /// Tells everyone concerned what has just been committed.
    fn apply(&self, effects: Vec<Effect>) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for effect in effects {
            match effect {
                Effect::Session { before, after } => index.set(before.as_ref(), &after),
                Effect::Turn(session) => self.ready.push(session),
                Effect::Told(session) => self.told.push(session),
                Effect::Outbox(channel) => self.outbox(&channel).notify_one(),
                Effect::Revoked => self.revoked.send_replace(()),
            }
        }
    }

    fn outbox(&self, channel: &str) -> Arc<Notify> {
        let outboxes = &mut *lock(&self.outboxes);
        outboxes.entry(channel.to_owned()).or_default().clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed() -> Error {
    Error::new(Code::Unavailable, "The gateway's store has failed or is closed; its log says why")
}
