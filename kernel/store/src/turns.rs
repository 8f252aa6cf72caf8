//! Turns: one inbound message each, the work on it, and its reply. Each session has a queue of them.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::handle::Store;
use super::kept::Kept;
use super::message::{Message, NewMessage};
use super::messages;
use super::model::{
    Completed, Parked, ParkedTurn, Session, SessionStatus, Stop, Turn, TurnDone, TurnId, TurnState, Usage,
};
use super::queue::{OPENING, TURNS, TurnRow, head, queue, stop};
use super::ready::Ready;
use super::rows::{Failure, MAX_PAGE, Result, Rows, Snapshot};
use super::sessions::{SESSIONS, SessionRow};
use super::tx::{Effect, Tx};
use super::{agents, approvals, blobs, events, outbox, spending};
use prx_base::events::{Kind, NewEvent};

const PARKED: Rows<(&str, u64), ParkedTurn> = Rows::new("parked");

/// Attempts at a turn, after which it is to be parked.
pub const MAX_ATTEMPTS: u32 = 5;
/// Parked turns of a session that are kept, the newest ones.
const MAX_PARKED: usize = 100;
/// Sessions that one commit of a sweep looks at.
const SWEEP_BATCH: usize = 256;

pub(super) const TABLES: &[&dyn Kept] = &[&TURNS, &PARKED];

impl Store {
    /// Takes in a message over HTTP under an id from [`Store::new_message_id`], and queues its turn.
    ///
    /// # Errors
    /// `not_found`; `conflict` when the session is terminated.
    pub async fn accept_message(&self, session: &str, id: String, content: String) -> Result<Turn> {
        let session = session.to_owned();
        self.write(move |tx| {
            let mut row = SessionRow::load(tx, &session)?;
            row.check_open()?;
            let turn = queue(tx, &mut row, (id, NewMessage::user(content)), None, None)?;
            row.save(tx)?;
            events::announce(tx, Kind::MessageReceived, json!({ "session_id": turn.session }))?;
            Ok(turn)
        })
        .await
    }

    /// The turn at the head of a session's queue, with one more attempt counted.
    ///
    /// The same turn comes again until it is completed or parked, which is to be done with one that has had
    /// [`MAX_ATTEMPTS`]: one session's turns are worked on by one task. A session that is erased has none.
    pub async fn claim_turn(&self, session: &str) -> Result<Option<Turn>> {
        let session = session.to_owned();
        self.write(move |tx| match tx.get(&SESSIONS, session.as_str())?.is_some() {
            true => claim(tx, SessionRow::load(tx, &session)?),
            false => Ok(None),
        })
        .await
    }

    /// Takes back the attempt at the turn at the head of each of these sessions' queues: an orderly stop has cut it off,
    /// which is no failure of it.
    pub async fn excuse_turns(&self, sessions: Vec<String>) -> Result<()> {
        self.write(move |tx| {
            for session in &sessions {
                if let Some(mut turn) = head(tx, session)? {
                    turn.attempts = turn.attempts.saturating_sub(1);
                    tx.put(&TURNS, (session, turn.seq), &turn)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Keeps with a turn what a later attempt at it would need, counts what it has cost since the last time, and
    /// announces the events of it. Of a turn that is over only the progress is not kept.
    ///
    /// # Errors
    /// `not_found` for the session.
    pub async fn record_progress(
        &self,
        turn: &TurnId,
        progress: Value,
        usage: Usage,
        events: Vec<NewEvent>,
    ) -> Result<()> {
        let id = turn.clone();
        self.write(move |tx| {
            if usage != Usage::default() {
                let mut session = SessionRow::load(tx, &id.session)?;
                spending::count(tx, &mut session, usage)?;
                session.save(tx)?;
            }
            for event in events {
                events::announce(tx, event.kind, event.data)?;
            }
            let Some(mut row) = tx.get(&TURNS, (&id.session, id.seq))? else { return Ok(()) };
            row.progress = Some(progress);
            tx.put(&TURNS, (&id.session, id.seq), &row)
        })
        .await
    }

    /// Marks the turn at the head of a session's queue as one that is to end with what was said so far, and gives
    /// word of it. False: there is no turn.
    ///
    /// # Errors
    /// `not_found`; `conflict` when the session is terminated.
    pub async fn stop_turn(&self, session: &str) -> Result<bool> {
        let session = session.to_owned();
        self.write(move |tx| {
            SessionRow::load(tx, &session)?.check_open()?;
            stop(tx, &session, Stop::Asked, None)
        })
        .await
    }

    /// Whether a turn may go on.
    pub fn turn_state(&self, turn: &TurnId) -> Result<TurnState> {
        let row = self.read(|snapshot| snapshot.get(&TURNS, (&turn.session, turn.seq)))?;
        Ok(row.map_or(TurnState::Over, |row| row.stop.map_or(TurnState::GoesOn, TurnState::Stopped)))
    }

    /// Stores a turn's outcome, all of it or nothing: its messages, its cost, what is to be sent, and that it is over.
    /// A turn that is over already is left as it is, and [`Completed::applied`] says so.
    ///
    /// # Errors
    /// `not_found` for the session.
    pub async fn complete_turn(&self, done: TurnDone) -> Result<Completed> {
        self.write(move |tx| complete(tx, done)).await
    }

    /// Takes a turn out of its queue without an answer, and has whoever waits for one told. What its tools did stays
    /// with the conversation. Does nothing for a turn that is over.
    ///
    /// # Errors
    /// `not_found` for the session.
    pub async fn park_turn(&self, id: &TurnId, parked: Parked) -> Result<()> {
        let id = id.clone();
        self.write(move |tx| {
            let mut session = SessionRow::load(tx, &id.session)?;
            let Some(turn) = tx.get(&TURNS, (&id.session, id.seq))? else { return Ok(()) };
            append(tx, &mut session, id.seq, parked.said)?;
            park(tx, &mut session, turn, &parked.reason)?;
            if parked.refused {
                messages::leave_files_out(tx, (&id.session, id.seq, OPENING))?;
            }
            if let Some(told) = parked.told {
                outbox::add(tx, told)?;
            }
            session.save(tx)?;
            let data = json!({ "session_id": id.session, "reason": parked.reason });
            events::announce(tx, Kind::ErrorOccurred, data)
        })
        .await
    }

    /// Whether a turn is still to be completed or parked.
    pub fn turn_waits(&self, turn: &TurnId) -> Result<bool> {
        Ok(self.turn_state(turn)? != TurnState::Over)
    }

    /// Ends a session. Its waiting turns are parked, a turn being worked on with them. Returns the ids of the messages
    /// that get no answer.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it is terminated already.
    pub async fn terminate_session(&self, id: &str) -> Result<Vec<String>> {
        let id = id.to_owned();
        self.write(move |tx| {
            let mut row = SessionRow::load(tx, &id)?;
            row.check_open()?;
            let unanswered = end(tx, &mut row, "the session was terminated")?;
            row.save(tx)?;
            Ok(unanswered)
        })
        .await
    }

    /// Makes sessions idle in which nothing was said for `idle_after`, and terminates those that have then been
    /// idle for `end_after`. One with turns waiting stays as it is.
    ///
    /// Returns those whose status changed. Right after a start sessions are looked at as their last activity is read.
    pub async fn sweep_sessions(&self, idle_after: Duration, end_after: Duration) -> Result<Vec<Session>> {
        let now = self.shared.clock.now();
        let quiet = now.checked_sub(idle_after).unwrap_or(Timestamp::MIN);
        let over = quiet.checked_sub(end_after).unwrap_or(Timestamp::MIN);
        let due = self.shared.index.with(|index| {
            let mut due = index.quiet_since(SessionStatus::Active, quiet);
            due.extend(index.quiet_since(SessionStatus::Idle, over));
            due
        });
        let mut changed = Vec::new();
        for batch in due.chunks(SWEEP_BATCH) {
            let batch = batch.to_vec();
            let swept = self.write(move |tx| {
                let swept = batch.iter().map(|id| sweep(tx, id, quiet, over));
                swept.filter_map(Result::transpose).collect::<Result<Vec<_>, Failure>>()
            });
            changed.extend(swept.await?);
        }
        Ok(changed)
    }

    /// Up to `limit` parked turns, those of the newest sessions.
    pub fn parked_turns(&self, limit: usize) -> Result<Vec<ParkedTurn>> {
        self.read(|snapshot| snapshot.last_page(&PARKED, .., limit))
    }

    /// The sessions that have turns waiting, those from before a restart included.
    pub fn turns_ready(&self) -> Ready {
        self.shared.ready.clone()
    }

    /// The sessions whose turn at work is to look again: it was asked to stop, or its question was answered.
    pub fn notified_turns(&self) -> Ready {
        self.shared.notified.clone()
    }
}

/// Parks all turns of a session, gives word of it to the one at work, and tells the ids of the messages that began
/// them; the caller saves the row.
fn park_all(tx: &Tx<'_>, session: &mut SessionRow, reason: &str) -> Result<Vec<String>, Failure> {
    let mut unanswered = Vec::new();
    while let Some(turn) = head(tx, &session.session.id)? {
        unanswered.push(park(tx, session, turn, reason)?);
    }
    if !unanswered.is_empty() {
        tx.after_commit(Effect::TurnNotified(session.session.id.clone()));
    }
    Ok(unanswered)
}

/// Ends a session; its waiting turns are parked with the reason. Tells the ids of the messages that began them; the caller
/// saves the row.
fn end(tx: &Tx<'_>, row: &mut SessionRow, reason: &str) -> Result<Vec<String>, Failure> {
    let unanswered = park_all(tx, row, reason)?;
    row.session.status = SessionStatus::Terminated;
    events::announce(tx, Kind::SessionTerminated, json!({ "session_id": row.session.id }))?;
    Ok(unanswered)
}

fn sweep(tx: &Tx<'_>, id: &str, quiet: Timestamp, over: Timestamp) -> Result<Option<Session>, Failure> {
    let mut row = SessionRow::load(tx, id)?;
    let last = row.session.last_activity;
    match row.session.status {
        SessionStatus::Active | SessionStatus::Idle if row.waiting == 0 && last <= over => {
            end(tx, &mut row, "the session timed out")?;
        }
        SessionStatus::Active if row.waiting == 0 && last <= quiet => {
            row.session.status = SessionStatus::Idle
        }
        _ => return Ok(None),
    }
    row.save(tx)?;
    Ok(Some(row.session))
}

/// Removes the parked turns of a session that is erased. Tells how many those were, and the files that are to be deleted.
pub(super) fn erase_parked(tx: &Tx<'_>, session: &str) -> Result<(usize, Vec<String>), Failure> {
    let all: Vec<ParkedTurn> = tx.page(&PARKED, (session, 0)..=(session, u64::MAX), MAX_PAGE)?;
    remove_parked(tx, session, &all)
}

/// Removes the parked turns of a session that were parked before a moment; as [`erase_parked`].
pub(super) fn erase_parked_before(
    tx: &Tx<'_>,
    session: &str,
    moment: Timestamp,
) -> Result<(usize, Vec<String>), Failure> {
    let mut all: Vec<ParkedTurn> = tx.page(&PARKED, (session, 0)..=(session, u64::MAX), MAX_PAGE)?;
    all.retain(|parked| parked.parked_at < moment);
    remove_parked(tx, session, &all)
}

/// Since when the oldest parked turn of a session is; none where it has none.
pub(super) fn oldest_parked(snapshot: &Snapshot, session: &str) -> Result<Option<Timestamp>, Failure> {
    let first: Vec<ParkedTurn> = snapshot.page(&PARKED, (session, 0)..=(session, u64::MAX), 1)?;
    Ok(first.first().map(|parked| parked.parked_at))
}

/// Removes the parked turns of a session that this person's messages began; as [`erase_parked`].
pub(super) fn erase_parked_of(
    tx: &Tx<'_>,
    session: &str,
    user: &str,
) -> Result<(usize, Vec<String>), Failure> {
    let mut all: Vec<ParkedTurn> = tx.page(&PARKED, (session, 0)..=(session, u64::MAX), MAX_PAGE)?;
    all.retain(|parked| parked.turn.inbound.as_ref().is_some_and(|inbound| inbound.user_id == user));
    remove_parked(tx, session, &all)
}

/// Takes a turn that is erased out of its queue, and gives word of it to whoever works on it; the caller saves the row.
pub(super) fn withdraw(tx: &Tx<'_>, session: &mut SessionRow, seq: u64) -> Result<(), Failure> {
    let id = session.session.id.clone();
    if tx.get(&TURNS, (&id, seq))?.is_none() {
        return Ok(());
    }
    if head(tx, &id)?.is_some_and(|head| head.seq == seq) {
        leave(tx, session, seq)?;
        tx.after_commit(Effect::TurnNotified(id.clone()));
        tx.after_commit(Effect::Turn(id));
        return Ok(());
    }
    // The question of the one at work, and its place, stay.
    session.waiting = session.waiting.saturating_sub(1);
    tx.remove(&TURNS, (&id, seq))
}

fn remove_parked(tx: &Tx<'_>, session: &str, all: &[ParkedTurn]) -> Result<(usize, Vec<String>), Failure> {
    let mut files = Vec::new();
    for parked in all {
        tx.blank(&PARKED, (session, parked.turn.seq))?;
    }
    for parked in all {
        files.extend(parked.turn.message.attachments.iter().map(|file| file.blob.clone()));
        tx.remove(&PARKED, (session, parked.turn.seq))?;
    }
    Ok((all.len(), blobs::remove(tx, &files)?))
}

fn claim(tx: &Tx<'_>, mut session: SessionRow) -> Result<Option<Turn>, Failure> {
    if let Some(predecessor) = &session.predecessor {
        if SessionRow::load(tx, predecessor)?.busy(tx)?.is_some() {
            return Ok(None);
        }
        session.predecessor = None;
        session.save(tx)?;
    }
    let Some(mut turn) = head(tx, &session.session.id)? else { return Ok(None) };
    turn.attempts += 1;
    tx.put(&TURNS, (&session.session.id, turn.seq), &turn)?;
    turn.read(tx, &session.session.id).map(Some)
}

fn complete(tx: &Tx<'_>, done: TurnDone) -> Result<Completed, Failure> {
    let id = done.id;
    let mut session = SessionRow::load(tx, &id.session)?;
    if tx.get(&TURNS, (&id.session, id.seq))?.is_none() {
        return Ok(Completed { applied: false, messages: Vec::new(), session: session.session });
    }
    let stored = append(tx, &mut session, id.seq, done.messages)?;
    for outbound in done.outbound {
        outbox::add(tx, outbound)?;
    }
    for event in done.events {
        events::announce(tx, event.kind, event.data)?;
    }
    if let Some(reply) = stored.last() {
        let data = json!({ "session_id": id.session, "message_id": reply.id });
        events::announce(tx, Kind::MessageSent, data)?;
    }
    agents::keep(tx, &id.session, &done.agent)?;
    leave(tx, &mut session, id.seq)?;
    session.touch(tx.now());
    session.session.turn_count += 1;
    spending::count(tx, &mut session, done.usage)?;
    if done.end_session && session.waiting == 0 {
        end(tx, &mut session, "the session ended")?;
    }
    session.save(tx)?;
    Ok(Completed { applied: true, messages: stored, session: session.session })
}

/// Stores what was said in a turn after the person's own message.
fn append(
    tx: &Tx<'_>,
    session: &mut SessionRow,
    seq: u64,
    said: Vec<NewMessage>,
) -> Result<Vec<Message>, Failure> {
    let said = (OPENING + 1..).zip(said);
    let append = |(place, message): (u32, NewMessage)| {
        let id = agents::id_of(tx, &message);
        messages::append(tx, session, (seq, place), id, message)
    };
    said.map(append).collect()
}

/// Puts a turn aside, and tells the id of the message that began it.
pub(super) fn park(
    tx: &Tx<'_>,
    session: &mut SessionRow,
    turn: TurnRow,
    reason: &str,
) -> Result<String, Failure> {
    let seq = turn.seq;
    let id = session.session.id.clone();
    // How far it came is nobody's any more, and may hold what was said by others.
    let turn = TurnRow { progress: None, ..turn }.read(tx, &id)?;
    let parked = ParkedTurn { turn, reason: reason.to_owned(), parked_at: tx.now() };
    tx.put(&PARKED, (&id, seq), &parked)?;
    let all = tx.page(&PARKED, (&*id, 0)..=(&*id, u64::MAX), MAX_PAGE)?;
    for oldest in all.iter().rev().skip(MAX_PARKED) {
        tx.remove(&PARKED, (&id, oldest.turn.seq))?;
    }
    leave(tx, session, seq)?;
    Ok(parked.turn.message.id)
}

/// Takes a turn out of its queue.
fn leave(tx: &Tx<'_>, session: &mut SessionRow, seq: u64) -> Result<(), Failure> {
    // How far it came has words of the conversation in it.
    tx.blank(&TURNS, (&session.session.id, seq))?;
    tx.remove(&TURNS, (&session.session.id, seq))?;
    approvals::forget(tx, &session.session.id)?;
    session.waiting = session.waiting.saturating_sub(1);
    if session.waiting == 0 { session.release(tx) } else { Ok(()) }
}
