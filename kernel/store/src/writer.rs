//! The one writer: a thread that puts up to 256 verbs into one commit.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use std::{iter, thread};

use redb::Durability;
use tokio::sync::{mpsc, oneshot};

use super::rows::{Cause, Effect, Failure, Tx};
use super::{META, NEWEST_ID, Shared, Store, failed};
use prx_base::error::Result;

/// Verbs in one commit, at most.
const MAX_BATCH: usize = 256;
/// How long a commit waits for verbs to come when the one before it had many: their callers, who were just answered, are
/// about to ask again, and a commit costs the disk several times that.
const GATHER: Duration = Duration::from_micros(100);
/// Verbs in a commit that are many.
const MANY: usize = 8;
/// Commits in a row that may leave the disk alone, when no verb in them asks for more.
const MAX_LAZY: u32 = 64;

pub(super) enum Order {
    Verb(Job),
    Close(oneshot::Sender<()>),
}

/// One verb, on its way to the writer. Dropped without an answer, its caller learns that the store failed.
pub(super) struct Job {
    durable: bool,
    asked: Box<dyn Ask>,
}

/// A verb and its caller, whatever the type of the answer.
trait Ask: Send {
    fn run(&mut self, tx: &Tx<'_>) -> Result<(), Cause>;
    /// Tells the caller, after the commit.
    fn answer(self: Box<Self>);
}

struct Asked<T, V> {
    verb: Option<V>,
    answer: Option<Result<T>>,
    caller: oneshot::Sender<Result<T>>,
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

impl Store {
    /// Runs a verb and comes back once it is on disk. Dropping the future does not call the verb back.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.submit(true, verb).await
    }

    /// Runs a verb that a crash may undo, because whoever asked for it would ask again.
    pub(super) async fn write_lazily<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.submit(false, verb).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        durable: bool,
        verb: impl FnOnce(&Tx<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let (caller, answer) = oneshot::channel();
        let asked = Box::new(Asked { verb: Some(verb), answer: None, caller });
        self.orders.send(Order::Verb(Job { durable, asked })).await.map_err(|_| failed())?;
        answer.await.map_err(|_| failed())?
    }
}

/// The writer's life: until it is told to close, or until nobody is left who could ask.
pub(super) fn run(shared: &Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
    let mut writer = Writer { shared, lazy: 0, newest_id: 0 };
    let mut received = Vec::with_capacity(MAX_BATCH);
    let mut closers = Vec::new();
    let mut many = false;
    while orders.blocking_recv_many(&mut received, MAX_BATCH) > 0 {
        if many && received.len() < MAX_BATCH {
            thread::sleep(GATHER);
            received.extend(iter::from_fn(|| orders.try_recv().ok()).take(MAX_BATCH - received.len()));
        }
        many = received.len() >= MANY;
        let mut jobs = Vec::with_capacity(received.len());
        for order in received.drain(..) {
            match order {
                Order::Verb(job) => jobs.push(job),
                Order::Close(closer) => {
                    orders.close();
                    closers.push(closer);
                }
            }
        }
        writer.serve(jobs);
    }
    writer.finish();
    for closer in closers {
        // Whoever asked to close may have stopped waiting for it.
        let _ = closer.send(());
    }
}

struct Writer<'s> {
    shared: &'s Shared,
    /// Commits since the last one that reached the disk.
    lazy: u32,
    /// The newest id that this run has told the file about.
    newest_id: u64,
}

impl Writer<'_> {
    /// Commits the verbs as one and answers their callers. After a failure no verb is taken any more.
    fn serve(&mut self, mut jobs: Vec<Job>) {
        if jobs.is_empty() || !self.shared.is_healthy() {
            return;
        }
        let effects = RefCell::new(Vec::new());
        // Whatever a panic leaves behind is not used again: the store is unhealthy from here on.
        match catch_unwind(AssertUnwindSafe(|| self.commit(&mut jobs, &effects))) {
            Ok(Ok(())) => {
                self.shared.apply(effects.into_inner());
                jobs.into_iter().for_each(|job| job.asked.answer());
            }
            Ok(Err(cause)) => self.shared.fail(cause),
            Err(_) => self.shared.fail("the writer panicked"),
        }
    }

    fn commit(&mut self, jobs: &mut [Job], effects: &RefCell<Vec<Effect>>) -> Result<(), Cause> {
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let mut transaction = database.as_ref().ok_or("the store is closed")?.begin_write()?;
        let (mut wrote, mut durable) = (false, false);
        for job in jobs {
            let tx = Tx::new(&transaction, self.shared, effects);
            job.asked.run(&tx)?;
            wrote |= tx.wrote();
            durable |= tx.wrote() && job.durable;
        }
        if !wrote {
            return Ok(transaction.abort()?);
        }
        let newest_id = self.shared.ids.newest_ms();
        if newest_id > self.newest_id {
            transaction.open_table(META)?.insert(NEWEST_ID, newest_id)?;
        }
        if durable || self.lazy >= MAX_LAZY {
            self.lazy = 0;
        } else {
            self.lazy += 1;
            transaction.set_durability(Durability::None)?;
        }
        transaction.commit()?;
        self.newest_id = newest_id;
        Ok(())
    }

    /// Brings everything to disk and lets go of the file.
    fn finish(&mut self) {
        let mut database = self.shared.database.write().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.take() else { return };
        if self.lazy > 0 && self.shared.is_healthy() {
            let flushed = database.begin_write().map_err(Cause::from);
            if let Err(cause) = flushed.and_then(|transaction| Ok(transaction.commit()?)) {
                self.shared.fail(cause);
            }
        }
        if let Err(error) = database.close() {
            self.shared.fail(error);
        }
    }
}
