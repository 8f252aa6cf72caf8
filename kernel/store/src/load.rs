//! Loads the index of sessions behind the start of the store, so that a start costs the same however many there are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{ReadTransaction, ReadableTable};
use ulid::Ulid;

use super::index::{SESSION_INDEX, SessionIndex, status_of};
use super::rows::{Cause, Failure};
use super::sessions::SESSIONS;
use super::tx::Shared;
use prx_base::error::Code;

/// Sessions whose last activity is read in one go.
const DATED_BATCH: usize = 256;

/// Loads the index from what was committed before the first verb, then reads when something was last said in the
/// sessions that are not over. Ends early when the store is closed or fails.
pub(super) fn run(shared: &Shared, committed: ReadTransaction) {
    match catch_unwind(AssertUnwindSafe(|| index(committed))) {
        Ok(Ok(index)) => {
            shared.index.complete(index);
            date(shared);
        }
        loaded => {
            if shared.is_open() {
                shared.fail(match loaded {
                    Ok(Err(cause)) => cause.to_string(),
                    _ => "the index of sessions contradicts itself".to_owned(),
                });
            }
            // Whoever waits for it finds the store closed or failed.
            shared.index.complete(SessionIndex::default());
        }
    }
}

/// The index, as far as the compact copy has it.
pub(super) fn index(committed: ReadTransaction) -> Result<SessionIndex, Cause> {
    let mut index = SessionIndex::default();
    for entry in committed.open_table(SESSION_INDEX)?.iter()? {
        let (ulid, about) = entry?;
        let (status, channel) = about.value();
        let status = status_of(status).ok_or("a session has an unknown status in the index")?;
        index.load(Ulid(ulid.value()), status, channel);
    }
    Ok(index)
}

/// Reads when something was last said in the sessions of which the index doesn't know.
pub(super) fn date(shared: &Shared) {
    loop {
        let undated = shared.index.with(|index| index.undated(DATED_BATCH));
        if undated.is_empty() {
            return;
        }
        let read = shared.read(|snapshot| {
            let rows = undated.iter().map(|id| snapshot.get(&SESSIONS, id));
            rows.collect::<Result<Vec<_>, Failure>>()
        });
        let rows = match read {
            Ok(rows) => rows,
            Err(error) if shared.is_healthy() && error.code() != Code::Unavailable => {
                return tracing::error!(%error, "sessions that can't be read do not time out");
            }
            // The store is closed, or has failed.
            Err(_) => return,
        };
        shared.index.with(|index| rows.iter().flatten().for_each(|row| index.date(&row.session)));
        if rows.iter().any(Option::is_none) {
            return shared.fail("the index names a session that is not there");
        }
    }
}
