//! A verb's transaction, what follows from it, and what all handles and the writer have in common.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;
use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, Value,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::block_in_place;

use super::ids::{Ids, lock};
use super::index::{Change, Index};
use super::model::{Compacted, Hook};
use super::ready::Ready;
use super::rows::{Cause, Failure, Result, Rows, Snapshot, row, rows};
use super::subscriptions::Subscriptions;
use prx_base::clock::Clock;
use prx_base::error::{Code, Error};
use prx_base::events::{Event, Events, NewEvent};

/// Numbers about the file itself.
pub(super) const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
/// The version of the tables, in [`META`].
pub(super) const VERSION: &str = "version";
/// The millisecond in the newest id, in [`META`].
pub(super) const NEWEST_ID: &str = "newest_id_ms";

/// What all handles and the writer have in common. No lock in here is held across an await.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) healthy: AtomicBool,
    /// Why it is not healthy.
    pub(super) problem: Mutex<Option<String>>,
    /// Counts how often it was opened anew after a failure.
    pub(super) reopened: watch::Sender<u64>,
    /// Wakes the writer.
    pub(super) orders: mpsc::WeakSender<Order>,
    /// Where the database is.
    pub(super) file: PathBuf,
    pub(super) commits: AtomicU64,
    /// None: closed, or failed. Closing, compacting and opening anew take it for writing, so nobody waits here else.
    pub(super) database: RwLock<Option<Database>>,
    pub(super) ids: Ids,
    /// Where the bytes of blobs are.
    pub(super) blobs: PathBuf,
    pub(super) index: Index,
    pub(super) subscriptions: Subscriptions,
    pub(super) events: Events,
    /// Events that nobody waits for; the next commit takes them in.
    pub(super) announced: Mutex<Vec<NewEvent>>,
    pub(super) ready: Ready,
    pub(super) notified: Ready,
    pub(super) outboxes: Mutex<HashMap<String, Arc<Notify>>>,
    pub(super) revoked: watch::Sender<()>,
    /// Wakes whoever makes deliveries.
    pub(super) deliveries: watch::Sender<()>,
}

impl Shared {
    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// The database, to be read. Where that is being compacted, the tasks of this thread go on on another.
    fn readable(&self) -> RwLockReadGuard<'_, Option<Database>> {
        if let Ok(database) = self.database.try_read() {
            return database;
        }
        let wait = || self.database.read().unwrap_or_else(PoisonError::into_inner);
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => block_in_place(wait),
            _ => wait(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.database.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Nothing more is read or written until the writer has opened the file anew, for what is in memory may not be what
    /// is on disk.
    pub(super) fn fail(&self, cause: impl Display) {
        if self.healthy.swap(false, Ordering::AcqRel) {
            tracing::error!(
                %cause,
                "the store failed and takes nothing until its disk does; it is opened anew every few seconds"
            );
            *lock(&self.problem) = Some(cause.to_string());
            // A full queue wakes the writer, too.
            if let Some(orders) = self.orders.upgrade() {
                let _ = orders.try_send(Order::Announced);
            }
        }
    }

    /// Why it takes nothing, while it doesn't.
    pub(super) fn problem(&self) -> Option<String> {
        (!self.is_healthy()).then(|| lock(&self.problem).clone().unwrap_or_default())
    }

    /// Tells everyone concerned what has just been committed.
    pub(super) fn apply(&self, effects: Vec<Effect>) {
        let (mut sessions, mut others) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Session(change) => sessions.push(change),
                other => others.push(other),
            }
        }
        // Whoever is woken below finds the sessions as they are now.
        self.index.change(sessions);
        for effect in others {
            match effect {
                Effect::Session(_) => {}
                Effect::Turn(session) => self.ready.push(session),
                Effect::TurnNotified(session) => self.notified.push(session),
                Effect::Outbox(channel) => self.outbox(&channel).notify_one(),
                Effect::Revoked => self.revoked.send_replace(()),
                Effect::Event(event) => self.events.publish(event),
                Effect::Deliveries => self.deliveries.send_replace(()),
                Effect::Hook(hook) => self.subscriptions.set(hook),
                Effect::HookRemoved(id) => self.subscriptions.remove(&id),
                Effect::Observed(observed) => self.subscriptions.set_observed(observed),
            }
        }
    }

    /// Publishes the events that no commit takes in any more.
    pub(super) fn drop_announced(&self) {
        let announced = std::mem::take(&mut *lock(&self.announced));
        if !announced.is_empty() {
            let count = announced.len();
            tracing::error!(
                count,
                "events could not be recorded, for the store takes nothing; no hook gets them"
            );
        }
        for NewEvent { kind, data } in announced {
            self.events.publish(Event { seq: 0, name: kind.into(), timestamp: self.clock.now(), data });
        }
    }

    pub(super) fn outbox(&self, channel: &str) -> Arc<Notify> {
        let outboxes = &mut *lock(&self.outboxes);
        outboxes.entry(channel.to_owned()).or_default().clone()
    }

    /// What is committed now, for a look that takes long: nobody else waits for its end. The file grows meanwhile, and a
    /// compaction is refused.
    pub(super) fn snapshot(&self) -> Result<ReadTransaction> {
        let database = self.readable();
        let database = database.as_ref().filter(|_| self.is_healthy()).ok_or_else(failed)?;
        database.begin_read().map_err(|error| Error::internal(error.to_string()))
    }

    /// One bounded look at what is committed.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Snapshot) -> Result<T, Failure>) -> Result<T> {
        if !self.is_healthy() {
            return Err(failed());
        }
        let database = self.readable();
        let database = database.as_ref().ok_or_else(failed)?;
        let seen = match database.begin_read() {
            Ok(transaction) => look(&Snapshot(transaction)),
            Err(error) => Err(error.into()),
        };
        seen.map_err(|failure| match failure {
            Failure::Refused(error) => error,
            Failure::Fatal(cause) => {
                self.fail(cause);
                failed()
            }
        })
    }
}

/// What others learn once a change is durable.
pub(super) enum Effect {
    /// A session was made or changed its standing.
    Session(Change),
    /// A session has a turn waiting.
    Turn(String),
    /// Something was said to a session's turn at work.
    TurnNotified(String),
    /// A channel has something to send.
    Outbox(String),
    /// A token is good no more.
    Revoked,
    /// Something happened.
    Event(Event),
    /// A hook has something to deliver, or is removed.
    Deliveries,
    /// A hook is registered, or turned off.
    Hook(Hook),
    /// A hook is removed.
    HookRemoved(String),
    /// There are observers, or none any more.
    Observed(bool),
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

    /// The hooks that take events of this name.
    pub(super) fn takers(&self, event: &str) -> Vec<String> {
        self.shared.subscriptions.takers(event)
    }

    /// Whether this verb has changed anything.
    pub(super) fn wrote(&self) -> bool {
        self.wrote.get()
    }

    /// Tells others, once the batch is committed.
    pub(super) fn after_commit(&self, effect: Effect) {
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
        table: &Rows<K, R>,
        key: K::SelfType<'_>,
    ) -> Result<Option<R>, Failure> {
        row(&self.open(table.table())?, key)
    }

    /// Up to `limit` rows of a range, from its beginning.
    pub(super) fn page<'k, K: Key + 'static, R: DeserializeOwned>(
        &self,
        table: &Rows<K, R>,
        range: impl RangeBounds<K::SelfType<'k>> + 'k,
        limit: usize,
    ) -> Result<Vec<R>, Failure> {
        rows(self.open(table.table())?.range(range)?, limit)
    }

    pub(super) fn put<K: Key + 'static, R: Serialize>(
        &self,
        table: &Rows<K, R>,
        key: K::SelfType<'_>,
        row: &R,
    ) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(row).map_err(|error| Failure::Fatal(error.into()))?;
        self.change(table.table())?.insert(key, bytes.as_slice())?;
        Ok(())
    }

    pub(super) fn remove<K: Key + 'static, R>(
        &self,
        table: &Rows<K, R>,
        key: K::SelfType<'_>,
    ) -> Result<(), Failure> {
        self.change(table.table())?.remove(key)?;
        Ok(())
    }

    /// Writes over what a row holds, before it is removed for nobody to read it again: removing a row moves those behind it
    /// in their page, and copies of them stay there. So all rows that go in one commit are blanked before the first goes.
    pub(super) fn blank<K: Key + 'static, R>(
        &self,
        table: &Rows<K, R>,
        key: K::SelfType<'_>,
    ) -> Result<(), Failure> {
        let mut table = self.change(table.table())?;
        let length = table.get(&key)?.map(|row| row.value().len());
        if let Some(length) = length {
            table.insert(key, vec![0; length].as_slice())?;
        }
        Ok(())
    }

    /// Removes all rows of a range.
    pub(super) fn clear<'k, K: Key + 'static, R>(
        &self,
        table: &Rows<K, R>,
        range: impl RangeBounds<K::SelfType<'k>> + 'k,
    ) -> Result<(), Failure> {
        Ok(self.change(table.table())?.retain_in(range, |_, _| false)?)
    }
}

/// What the writer is sent.
pub(super) enum Order {
    /// A verb.
    Verb(Job),
    /// Events that nobody waits for.
    Announced,
    /// To be done between two commits.
    Compact(oneshot::Sender<Result<Compacted>>),
    /// The last one.
    Close(oneshot::Sender<()>),
}

/// One verb, on its way to the writer. Dropped without an answer, its caller learns that the store failed.
pub(super) struct Job {
    pub(super) durable: bool,
    pub(super) asked: Box<dyn Ask>,
}

/// A verb and its caller, whatever the type of the answer.
pub(super) trait Ask: Send {
    fn run(&mut self, tx: &Tx<'_>) -> Result<(), Cause>;
    /// Tells the caller, after the commit.
    fn answer(self: Box<Self>);
}

pub(super) struct Asked<T, V> {
    pub(super) verb: Option<V>,
    pub(super) answer: Option<Result<T>>,
    pub(super) caller: oneshot::Sender<Result<T>>,
}

impl<T: Send, V: FnOnce(&Tx<'_>) -> Result<T, Failure> + Send> Ask for Asked<T, V> {
    fn run(&mut self, tx: &Tx<'_>) -> Result<(), Cause> {
        self.answer = match self.verb.take().map(|verb| verb(tx)) {
            Some(Err(Failure::Fatal(cause))) => return Err(cause),
            Some(Err(Failure::Refused(error))) if tx.wrote() => {
                return Err(format!("a verb was refused after it had written: {error}").into());
            }
            Some(Err(Failure::Refused(error))) => Some(Err(error)),
            Some(Ok(value)) => Some(Ok(value)),
            None => None,
        };
        Ok(())
    }

    fn answer(self: Box<Self>) {
        if let Some(answer) = self.answer {
            // A caller who no longer listens is no failure: the verb is done all the same.
            let _ = self.caller.send(answer);
        }
    }
}

pub(super) fn failed() -> Error {
    let message = "The gateway's store takes nothing now: its disk is full or has failed, or it is closed; its log says why";
    Error::new(Code::Unavailable, message)
}
