//! The one writer: a thread that puts up to 256 verbs into one commit.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use std::{iter, mem, thread};

use redb::Durability;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::events;
use super::ids::lock;
use super::reopen;
use super::rows::{Cause, Failure};
use super::tx::{Effect, Job, META, NEWEST_ID, Order, Shared, Tx};
use prx_base::events::NewEvent;

/// Verbs in one commit, at most.
const MAX_BATCH: usize = 256;
/// How long a commit waits for verbs to come when the one before it had many: their callers, who were just answered, are
/// about to ask again, and a commit costs the disk several times that.
const GATHER: Duration = Duration::from_micros(100);
/// Verbs in a commit that are many.
const MANY: usize = 8;
/// Commits in a row that may leave the disk alone, when no verb in them asks for more.
const MAX_LAZY: u32 = 64;
/// How long after a failure, and after each attempt in vain, the file is opened anew.
const REOPEN_INTERVAL: Duration = Duration::from_secs(2);
/// How long a verb that came in meanwhile waits for its refusal.
const REFUSE_INTERVAL: Duration = Duration::from_millis(20);

/// The writer's life: until it is told to close, or until nobody is left who could ask.
pub(super) fn run(shared: &Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
    let mut writer = Writer { shared, lazy: 0, newest_id: 0 };
    let mut received = Vec::with_capacity(MAX_BATCH);
    let (mut closers, mut compactions) = (Vec::new(), Vec::new());
    let mut many = false;
    loop {
        if !shared.is_healthy() {
            match writer.recover(&mut orders) {
                Recovered::Open => continue,
                Recovered::Closed(closer) => {
                    closers.extend(closer);
                    break;
                }
            }
        }
        if orders.blocking_recv_many(&mut received, MAX_BATCH) == 0 {
            break;
        }
        if many && received.len() < MAX_BATCH {
            thread::sleep(GATHER);
            received.extend(iter::from_fn(|| orders.try_recv().ok()).take(MAX_BATCH - received.len()));
        }
        many = received.len() >= MANY;
        let mut jobs = Vec::with_capacity(received.len());
        for order in received.drain(..) {
            match order {
                Order::Verb(job) => jobs.push(job),
                // Every commit takes them in.
                Order::Announced => {}
                Order::Compact(caller) => compactions.push(caller),
                Order::Close(closer) => {
                    orders.close();
                    closers.push(closer);
                }
            }
        }
        writer.serve(jobs);
        for caller in compactions.drain(..) {
            // Whoever asked for it may have stopped waiting.
            let _ = caller.send(shared.compact());
        }
    }
    writer.serve(Vec::new());
    writer.finish();
    for closer in closers {
        // Whoever asked to close may have stopped waiting for it.
        let _ = closer.send(());
    }
}

/// How waiting for the disk has ended.
enum Recovered {
    /// It takes verbs again.
    Open,
    /// The store is to be closed, and so many wait for that.
    Closed(Vec<oneshot::Sender<()>>),
}

struct Writer<'s> {
    shared: &'s Arc<Shared>,
    /// Commits since the last one that reached the disk.
    lazy: u32,
    /// The newest id that this run has told the file about.
    newest_id: u64,
}

impl Writer<'_> {
    /// Opens the file anew every [`REOPEN_INTERVAL`] until that succeeds. Verbs are refused meanwhile.
    fn recover(&mut self, orders: &mut mpsc::Receiver<Order>) -> Recovered {
        let mut closers = Vec::new();
        loop {
            for _ in 0..REOPEN_INTERVAL.as_millis() / REFUSE_INTERVAL.as_millis() {
                thread::sleep(REFUSE_INTERVAL);
                self.shared.drop_announced();
                loop {
                    match orders.try_recv() {
                        // Dropped without an answer, the caller learns that the store has failed.
                        Ok(Order::Verb(_) | Order::Announced | Order::Compact(_)) => {}
                        Ok(Order::Close(closer)) => {
                            orders.close();
                            closers.push(closer);
                        }
                        Err(TryRecvError::Empty) => break,
                        Err(TryRecvError::Disconnected) => return Recovered::Closed(closers),
                    }
                }
            }
            if reopen::reopen(self.shared) {
                (self.lazy, self.newest_id) = (0, 0);
                return Recovered::Open;
            }
        }
    }

    /// Commits the verbs as one and answers their callers. After a failure no verb is taken until the file is opened anew.
    fn serve(&mut self, mut jobs: Vec<Job>) {
        if !self.shared.is_healthy() {
            return self.shared.drop_announced();
        }
        let announced = mem::take(&mut *lock(&self.shared.announced));
        if jobs.is_empty() && announced.is_empty() {
            return;
        }
        let effects = RefCell::new(Vec::new());
        // Whatever a panic leaves behind is not used again: the store is unhealthy from here on.
        match catch_unwind(AssertUnwindSafe(|| self.commit(announced, &mut jobs, &effects))) {
            Ok(Ok(())) => {
                self.shared.apply(effects.into_inner());
                jobs.into_iter().for_each(|job| job.asked.answer());
            }
            Ok(Err(cause)) => self.shared.fail(cause),
            Err(_) => self.shared.fail("the writer panicked"),
        }
    }

    fn commit(
        &mut self,
        announced: Vec<NewEvent>,
        jobs: &mut [Job],
        effects: &RefCell<Vec<Effect>>,
    ) -> Result<(), Cause> {
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let mut transaction = database.as_ref().ok_or("the store is closed")?.begin_write()?;
        let tx = Tx::new(&transaction, self.shared, effects);
        for NewEvent { kind, data } in announced {
            events::announce(&tx, kind, data).map_err(Failure::into_cause)?;
        }
        let (mut wrote, mut durable) = (tx.wrote(), tx.wrote());
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
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
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
