//! The one writer: a thread that puts up to 256 verbs into one commit.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use std::{iter, mem, thread};

use redb::Durability;
use tokio::sync::mpsc;

use super::events;
use super::ids::lock;
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

/// The writer's life: until it is told to close, or until nobody is left who could ask.
pub(super) fn run(shared: &Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
    let mut writer = Writer { shared, lazy: 0, newest_id: 0 };
    let mut received = Vec::with_capacity(MAX_BATCH);
    let (mut closers, mut compactions) = (Vec::new(), Vec::new());
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
