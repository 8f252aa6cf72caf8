//! Each session's queue of turns.

use std::ops::Bound;

use jiff::Timestamp;
use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::message::{Message, NewMessage};
use super::messages::{self, MESSAGES};
use super::model::{Filtered, InboundInfo, Stop, Turn, TurnId};
use super::rows::{Cause, Failure, MAX_PAGE, Rows};
use super::sessions::SessionRow;
use super::terms::Terms;
use super::tx::{Effect, Tx};
use prx_base::error::Error;

/// By session and number: the queue of a session is a range of this table.
pub(super) const TURNS: Rows<(&str, u64), TurnRow> = Rows::new("turns");
/// Where a turn's own message stands among its messages.
pub(super) const OPENING: u32 = 0;

/// A turn as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct TurnRow {
    pub(super) seq: u64,
    pub(super) attempts: u32,
    pub(super) received_at: Timestamp,
    pub(super) inbound: Option<InboundInfo>,
    pub(super) progress: Option<Value>,
    #[serde(default)]
    pub(super) stop: Option<Stop>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filtered: Option<Filtered>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) terms: Option<Box<Terms>>,
}

impl TurnRow {
    pub(super) fn read(self, tx: &Tx<'_>, session: &str) -> Result<Turn, Failure> {
        let message = tx.get(&MESSAGES, (session, self.seq, OPENING))?;
        let lost = || Error::internal(format!("turn {} of {session} has lost its message", self.seq));
        let message = message.ok_or_else(lost)?;
        Ok(self.with_message(session, message))
    }

    fn with_message(self, session: &str, message: Message) -> Turn {
        Turn {
            session: session.to_owned(),
            seq: self.seq,
            attempts: self.attempts,
            received_at: self.received_at,
            message,
            inbound: self.inbound,
            progress: self.progress,
            stop: self.stop,
            filtered: self.filtered,
            terms: self.terms,
        }
    }
}

/// Stores a person's message under this id and puts its turn at the end of the session's queue; the caller saves the row.
pub(super) fn queue(
    tx: &Tx<'_>,
    session: &mut SessionRow,
    (id, said): (String, NewMessage),
    inbound: Option<InboundInfo>,
    terms: Option<Box<Terms>>,
) -> Result<Turn, Failure> {
    let seq = session.newest_turn + 1;
    let message = messages::append(tx, session, (seq, OPENING), id, said)?;
    let turn = TurnRow {
        seq,
        attempts: 0,
        received_at: tx.now(),
        inbound,
        progress: None,
        stop: None,
        filtered: None,
        terms,
    };
    tx.put(&TURNS, (&session.session.id, seq), &turn)?;
    session.newest_turn = seq;
    session.waiting += 1;
    session.touch(tx.now());
    tx.after_commit(Effect::Turn(session.session.id.clone()));
    Ok(turn.with_message(&session.session.id, message))
}

/// Marks turns of a session as to be ended: the one at the head of its queue if that was asked for, all of them if
/// something else was said. `by`: and of these only what this user has asked for on the channel, or nobody there. False:
/// there is none.
pub(super) fn stop(tx: &Tx<'_>, session: &str, why: Stop, by: Option<&str>) -> Result<bool, Failure> {
    let most = if why == Stop::Asked { 1 } else { MAX_PAGE };
    let mut turns = tx.page(&TURNS, (session, 0)..=(session, u64::MAX), most)?;
    turns.retain(|turn| match (&turn.inbound, by) {
        (Some(asked), Some(user)) => asked.user_id == user,
        _ => true,
    });
    for mut turn in turns.iter().cloned() {
        turn.stop = turn.stop.or(Some(why));
        tx.put(&TURNS, (session, turn.seq), &turn)?;
    }
    tx.after_commit(Effect::TurnNotified(session.to_owned()));
    Ok(!turns.is_empty())
}

/// Whether a turn is still to be completed or parked.
pub(super) fn waits(tx: &Tx<'_>, turn: &TurnId) -> Result<bool, Failure> {
    Ok(tx.get(&TURNS, (turn.session.as_str(), turn.seq))?.is_some())
}

/// The turn at the head of a session's queue.
pub(super) fn head(tx: &Tx<'_>, session: &str) -> Result<Option<TurnRow>, Failure> {
    Ok(tx.page(&TURNS, (session, 0)..=(session, u64::MAX), 1)?.pop())
}

/// The sessions that have turns waiting, for the start. Costs as much as there are of them, and no more.
pub(super) fn waiting(transaction: &WriteTransaction) -> Result<Vec<String>, Cause> {
    let turns = transaction.open_table(TURNS.table())?;
    let mut sessions: Vec<String> = Vec::new();
    loop {
        let after = sessions.last().map_or("", String::as_str);
        let range = (Bound::Excluded((after, u64::MAX)), Bound::<(&str, u64)>::Unbounded);
        let Some(next) = turns.range(range)?.next() else { return Ok(sessions) };
        let session = next?.0.value().0.to_owned();
        sessions.push(session);
    }
}
