//! Retention: sessions and messages are let go when they are as old as the operator says. In commits of a bounded size.

use std::time::Duration;

use jiff::Timestamp;
use ulid::Ulid;

use super::erasure::{Erased, remove_messages};
use super::handle::Store;
use super::index::SESSION_INDEX;
use super::message::Message;
use super::model::SessionStatus;
use super::rows::{Failure, Result};
use super::sessions::{SESSIONS, SessionRow};
use super::tx::Tx;
use super::{agents, ids, messages, outbox, queue, turns};

/// Sessions that one look goes over, and messages that one commit removes.
const BATCH: usize = 256;

impl Store {
    /// Lets go of the sessions that are over and in which nothing was said for `age`, with everything about them.
    pub async fn sweep_old_sessions(&self, age: Duration) -> Result<Erased> {
        let moment = self.ago(age);
        let mut erased = Erased::default();
        let mut after = None;
        while let Some(batch) = self.opened_before(moment, after)? {
            after = batch.last().copied();
            for ulid in batch {
                let id = ids::with_prefix("sess", ulid);
                let Ok(session) = self.session(&id) else { continue };
                if session.status == SessionStatus::Terminated && session.last_activity < moment {
                    erased.add(self.erase_session(&id).await?);
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(erased)
    }

    /// Lets go of the messages that are older than `age`, with their files, and of what was given up that long ago: parked
    /// turns and dead letters. A message whose turn is not over stays, and what follows it in its session.
    pub async fn sweep_messages(&self, age: Duration) -> Result<Erased> {
        let moment = self.ago(age);
        let mut erased = Erased::default();
        let mut after = None;
        while let Some(batch) = self.opened_before(moment, after)? {
            after = batch.last().copied();
            for ulid in batch {
                let id = ids::with_prefix("sess", ulid);
                // To look costs no commit.
                while self.has_older(&id, moment)? {
                    let session = id.clone();
                    let (part, files) = self.write(move |tx| trim(tx, &session, moment)).await?;
                    self.delete_files(&files).await;
                    if part.is_empty() {
                        break;
                    }
                    erased.add(part);
                }
            }
            tokio::task::yield_now().await;
        }
        self.forget_carried(moment).await?;
        loop {
            let (gone, files) = self.write(move |tx| outbox::bury_older(tx, moment, BATCH)).await?;
            self.delete_files(&files).await;
            erased.dead_letters += gone as u64;
            if gone < BATCH {
                return Ok(erased);
            }
        }
    }

    /// Forgets what sessions were given of what was said before a moment in the sessions before them, and what their agents
    /// have made of that.
    async fn forget_carried(&self, moment: Timestamp) -> Result<()> {
        let mut after = String::new();
        loop {
            let batch = self.read(|snapshot| agents::given_from_before(snapshot, moment, &after, BATCH))?;
            let Some(last) = batch.last() else { return Ok(()) };
            after.clone_from(last);
            for session in batch {
                self.write(move |tx| agents::forget(tx, &session)).await?;
            }
            tokio::task::yield_now().await;
        }
    }

    fn ago(&self, age: Duration) -> Timestamp {
        self.shared.clock.now().checked_sub(age).unwrap_or(Timestamp::MIN)
    }

    /// The next sessions that were opened before a moment, oldest first; none at the end.
    fn opened_before(&self, moment: Timestamp, after: Option<Ulid>) -> Result<Option<Vec<Ulid>>> {
        let end = Ulid::from_parts(u64::try_from(moment.as_millisecond()).unwrap_or(0), 0).0;
        let begin = after.map_or(0, |after| after.0.saturating_add(1));
        if begin >= end {
            return Ok(None);
        }
        let batch = self.read(|snapshot| {
            let mut batch = Vec::new();
            for entry in snapshot.open(SESSION_INDEX)?.range(begin..end)?.take(BATCH) {
                batch.push(Ulid(entry?.0.value()));
            }
            Ok(batch)
        })?;
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }

    /// Whether a session has something that is older than a moment.
    fn has_older(&self, session: &str, moment: Timestamp) -> Result<bool> {
        self.read(|snapshot| {
            let first: Vec<Message> =
                snapshot.page(&messages::MESSAGES, (session, 0, 0)..=(session, u64::MAX, u32::MAX), 1)?;
            Ok(first.first().is_some_and(|message| message.created_at < moment)
                || turns::oldest_parked(snapshot, session)?.is_some_and(|parked| parked < moment))
        })
    }
}

/// Removes a session's oldest messages, as far as they are older than a moment and their turns are over.
fn trim(tx: &Tx<'_>, session: &str, moment: Timestamp) -> Result<(Erased, Vec<String>), Failure> {
    let Some(mut row) = tx.get(&SESSIONS, session)? else { return Ok(Default::default()) };
    let first_waiting = queue::head(tx, session)?.map_or(u64::MAX, |turn| turn.seq);
    let mut said = messages::first(tx, session, BATCH)?;
    let old = |(turn, _, message): &(u64, u32, Message)| *turn < first_waiting && message.created_at < moment;
    let count = said.iter().take_while(|entry| old(entry)).count();
    said.truncate(count);
    let mut files = remove_messages(tx, session, &said)?;
    let (parked, of_parked) = turns::erase_parked_before(tx, session, moment)?;
    files.extend(of_parked);
    if count > 0 {
        // What its agent has made of them, too.
        agents::forget(tx, session)?;
        let row: &mut SessionRow = &mut row;
        row.messages = row.messages.saturating_sub(count as u64);
        tx.put(&SESSIONS, session, row)?;
    }
    let erased = Erased {
        messages: count as u64,
        parked_turns: parked as u64,
        files: files.len() as u64,
        ..Erased::default()
    };
    Ok((erased, files))
}
