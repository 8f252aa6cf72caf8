//! Opening the file anew after a failure: everything that is kept in memory of it is read again, and everyone who works on it
//! is woken, as after a crash. What was acknowledged is in the file; of the rest nobody was told that it is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;

use super::file::{self, Opened};
use super::ids::lock;
use super::index::SessionIndex;
use super::load;
use super::rows::Cause;
use super::tx::Shared;

/// What the disk must take before the file is opened anew, lest it fails again at once: 1 MiB.
const PROBE_BYTES: usize = 1 << 20;
/// The file that this is written to.
const PROBE: &str = "prx.probe";

/// Opens the file anew. False: it can't be opened yet; the reason is kept for whoever asks.
pub(super) fn reopen(shared: &Arc<Shared>) -> bool {
    // The database may panic over what a failure has left behind in it.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        drop(shared.database.write().unwrap_or_else(PoisonError::into_inner).take());
        probe(&shared.file)?;
        let Opened { database, committed, waiting, hooks, observed, .. } = file::again(&shared.file)?;
        let index = load::index(committed)?;
        *shared.database.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
        shared.subscriptions.replace(hooks, observed);
        Ok::<_, Cause>((waiting, index))
    }));
    match opened.unwrap_or_else(|_| Err("the database contradicts itself".into())) {
        Ok((waiting, index)) => {
            resume(shared, waiting, index);
            true
        }
        Err(cause) => {
            let problem = cause.to_string();
            if lock(&shared.problem).replace(problem.clone()).is_none_or(|before| before != problem) {
                tracing::error!(problem, "the store can't be opened anew yet");
            }
            false
        }
    }
}

/// Takes verbs again, and wakes everyone who may have something to do.
fn resume(shared: &Arc<Shared>, waiting: Vec<String>, index: SessionIndex) {
    shared.index.replace(index);
    *lock(&shared.problem) = None;
    shared.healthy.store(true, Ordering::Release);
    for session in waiting {
        shared.notified.push(session.clone());
        shared.ready.push(session);
    }
    lock(&shared.outboxes).values().for_each(|outbox| outbox.notify_one());
    shared.revoked.send_replace(());
    shared.deliveries.send_replace(());
    shared.reopened.send_modify(|count| *count += 1);
    tracing::info!("the store is open again");
    let dating = shared.clone();
    if let Err(error) = thread::Builder::new().name("store-load".into()).spawn(move || load::date(&dating)) {
        tracing::error!(%error, "sessions that can't be read do not time out");
    }
}

/// Whether the disk takes something.
fn probe(file: &Path) -> io::Result<()> {
    let path = file.with_file_name(PROBE);
    let mut options = OpenOptions::new();
    let written =
        options.write(true).create(true).truncate(true).mode(0o600).open(&path).and_then(|mut probe| {
            // Not zeros, which some file systems keep for nothing.
            probe.write_all(&vec![0x5a; PROBE_BYTES])?;
            probe.sync_all()
        });
    let removed = fs::remove_file(&path);
    written.and(removed)
}
