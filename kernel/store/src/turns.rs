//! Turns: one inbound message each, the work on it, and its reply. Each session has a queue of them.

use jiff::Timestamp;
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::messages::{self, MESSAGES, Message, NewMessage};
use super::rows::{Cause, Effect, Failure, MAX_PAGE, Rows, Tx};
use super::sessions::{Conversation, Session, SessionRow, Usage};
use super::{NewOutbound, Ready, Store, approvals, outbox, spending};
use prx_base::error::{Error, Result};

/// By session and number: the queue of a session is a range of this table.
const TURNS: Rows<(&str, u64), TurnRow> = Rows::new("turns");
const PARKED: Rows<(&str, u64), ParkedTurn> = Rows::new("parked");

/// Attempts at a turn, after which it is to be parked.
pub const MAX_ATTEMPTS: u32 = 5;
/// Parked turns of a session that are kept, the newest ones.
const MOST_PARKED: usize = 100;
/// Where a turn's own message stands among its messages.
const OPENING: u32 = 0;

pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), Cause> {
    TURNS.create(transaction)?;
    Ok(PARKED.create(transaction)?)
}

/// Names a turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TurnId {
    /// The session it belongs to.
    pub session: String,
    /// Its number there; later turns have larger ones.
    pub seq: u64,
}

/// A message to be answered, and how far that has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The session it belongs to.
    pub session: String,
    /// Its number there.
    pub seq: u64,
    /// How many times it was claimed.
    pub attempts: u32,
    /// When its message came in.
    pub received_at: Timestamp,
    /// What is to be answered.
    pub message: Message,
    /// Where it came from and where the reply goes; none for messages over HTTP.
    pub inbound: Option<InboundInfo>,
    /// What an earlier attempt left for this one.
    pub progress: Option<Value>,
    /// It is to end with what was said so far, and why.
    pub stop: Option<Stop>,
}

/// Why a turn is to end with what was said so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// Someone asked for it.
    Asked,
    /// The person went on to say something else.
    Interrupted,
}

/// What there is to be done about a turn at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    GoesOn,
    /// It is to end with what was said so far.
    Stopped(Stop),
    /// It is over already: its session was ended.
    Over,
}

impl Turn {
    /// The turn's name.
    pub fn id(&self) -> TurnId {
        TurnId { session: self.session.clone(), seq: self.seq }
    }
}

/// What a channel said about a message, besides its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InboundInfo {
    /// Where it was said.
    pub conversation: Conversation,
    /// Where the reply goes, as the connector put it.
    pub target: Value,
    /// Who said it, by the platform's id.
    pub user_id: String,
    /// Who said it, by name.
    pub user_name: String,
    /// When, by the platform's clock.
    pub sent_at: Timestamp,
    /// Whatever else the channel keeps with it.
    pub metadata: Value,
}

/// A turn's outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnDone {
    /// The turn.
    pub id: TurnId,
    /// What was said in it after the person's own message, in order.
    pub messages: Vec<NewMessage>,
    /// What it has cost, as far as that was not recorded before.
    pub usage: Usage,
    /// What is to be sent, in order.
    pub outbound: Vec<NewOutbound>,
    /// Ends the session with it; while more turns wait, the session stays open for them.
    pub end_session: bool,
}

/// How a turn ends that has no answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parked {
    /// Why.
    pub reason: String,
    /// What was said in it after the person's own message, in order.
    pub said: Vec<NewMessage>,
    /// Nobody takes it as it is: its files are left out of the conversation, lest no later message is taken either.
    pub refused: bool,
    /// What is to be sent about it.
    pub told: Option<NewOutbound>,
}

/// What completing a turn came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Completed {
    /// False: the turn was completed or parked before, by its session's end for one; nothing was changed or sent.
    pub applied: bool,
    /// The messages as they were stored.
    pub messages: Vec<Message>,
    /// The session as it is now.
    pub session: Session,
}

/// A turn that nobody will try again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParkedTurn {
    /// The turn.
    pub turn: Turn,
    /// Why.
    pub reason: String,
    /// Since when.
    pub parked_at: Timestamp,
}

#[derive(Clone, Serialize, Deserialize)]
struct TurnRow {
    seq: u64,
    attempts: u32,
    received_at: Timestamp,
    inbound: Option<InboundInfo>,
    progress: Option<Value>,
    #[serde(default)]
    stop: Option<Stop>,
}

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
            let turn = queue(tx, &mut row, id, NewMessage::user(content), None)?;
            row.save(tx)?;
            Ok(turn)
        })
        .await
    }

    /// The turn at the head of a session's queue, with one more attempt counted.
    ///
    /// The same turn comes again until it is completed or parked, which is to be done with one that has had
    /// [`MAX_ATTEMPTS`]: one session's turns are worked on by one task.
    ///
    /// # Errors
    /// `not_found` for the session.
    pub async fn claim_turn(&self, session: &str) -> Result<Option<Turn>> {
        let session = session.to_owned();
        self.write(move |tx| claim(tx, SessionRow::load(tx, &session)?)).await
    }

    /// Takes back the attempt at the turn at the head of each of these sessions' queues: an orderly stop has cut it off,
    /// which is no failure of it.
    ///
    /// # Errors
    /// Only when the store has failed.
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

    /// Keeps with a turn what a later attempt at it would need, and counts what it has cost since the last time. Of a
    /// turn that is over only the cost is counted.
    ///
    /// # Errors
    /// `not_found` for the session.
    pub async fn record_progress(&self, turn: &TurnId, progress: Value, usage: Usage) -> Result<()> {
        let id = turn.clone();
        self.write(move |tx| {
            if usage != Usage::default() {
                let mut session = SessionRow::load(tx, &id.session)?;
                spending::count(tx, &mut session, usage)?;
                session.save(tx)?;
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
            stop(tx, &session, Stop::Asked)
        })
        .await
    }

    /// Whether a turn may go on.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub fn fate_of(&self, turn: &TurnId) -> Result<Fate> {
        let row = self.read(|snapshot| snapshot.get(&TURNS, (&turn.session, turn.seq)))?;
        Ok(row.map_or(Fate::Over, |row| row.stop.map_or(Fate::GoesOn, Fate::Stopped)))
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
            session.save(tx)
        })
        .await
    }

    /// Whether a turn is still to be completed or parked.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub fn turn_waits(&self, turn: &TurnId) -> Result<bool> {
        Ok(self.fate_of(turn)? != Fate::Over)
    }

    /// Up to `limit` parked turns, those of the newest sessions.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub fn parked_turns(&self, limit: usize) -> Result<Vec<ParkedTurn>> {
        self.read(|snapshot| snapshot.last_page(&PARKED, .., limit))
    }

    /// The sessions that have turns waiting, those from before a restart included.
    pub fn turns_ready(&self) -> Ready {
        self.shared.ready.clone()
    }

    /// The sessions whose turn at work was told something: to stop, or the answer to a question.
    pub fn turns_told(&self) -> Ready {
        self.shared.told.clone()
    }
}

/// Stores a person's message and puts its turn at the end of the session's queue; the caller saves the row.
pub(super) fn queue(
    tx: &Tx<'_>,
    session: &mut SessionRow,
    id: String,
    said: NewMessage,
    inbound: Option<InboundInfo>,
) -> Result<Turn, Failure> {
    let seq = session.newest_turn + 1;
    let message = messages::append(tx, session, (seq, OPENING), id, said)?;
    let turn = TurnRow { seq, attempts: 0, received_at: tx.now(), inbound, progress: None, stop: None };
    tx.put(&TURNS, (&session.session.id, seq), &turn)?;
    session.newest_turn = seq;
    session.waiting += 1;
    session.touch(tx.now());
    tx.announce(Effect::Turn(session.session.id.clone()));
    Ok(turn.with_message(&session.session.id, message))
}

/// Marks turns of a session as to be ended: the one at the head of its queue if that was asked for, all of them if
/// something else was said. False: there is none.
pub(super) fn stop(tx: &Tx<'_>, session: &str, why: Stop) -> Result<bool, Failure> {
    let most = if why == Stop::Asked { 1 } else { MAX_PAGE };
    let turns = tx.page(&TURNS, (session, 0)..=(session, u64::MAX), most)?;
    for mut turn in turns.iter().cloned() {
        turn.stop = turn.stop.or(Some(why));
        tx.put(&TURNS, (session, turn.seq), &turn)?;
    }
    tx.announce(Effect::Told(session.to_owned()));
    Ok(!turns.is_empty())
}

/// Parks all turns of a session, gives word of it to the one at work, and tells the ids of the messages that began
/// them; the caller saves the row.
pub(super) fn park_all(tx: &Tx<'_>, session: &mut SessionRow, reason: &str) -> Result<Vec<String>, Failure> {
    let mut unanswered = Vec::new();
    while let Some(turn) = head(tx, &session.session.id)? {
        unanswered.push(park(tx, session, turn, reason)?);
    }
    if !unanswered.is_empty() {
        tx.announce(Effect::Told(session.session.id.clone()));
    }
    Ok(unanswered)
}

/// Whether a turn is still to be completed or parked.
pub(super) fn waits(tx: &Tx<'_>, turn: &TurnId) -> Result<bool, Failure> {
    Ok(tx.get(&TURNS, (turn.session.as_str(), turn.seq))?.is_some())
}

fn head(tx: &Tx<'_>, session: &str) -> Result<Option<TurnRow>, Failure> {
    Ok(tx.page(&TURNS, (session, 0)..=(session, u64::MAX), 1)?.pop())
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
    leave(tx, &mut session, id.seq)?;
    session.touch(tx.now());
    session.session.turn_count += 1;
    spending::count(tx, &mut session, done.usage)?;
    if done.end_session && session.waiting == 0 {
        session.end(tx, "the session ended")?;
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
    said.map(|(place, message)| messages::append(tx, session, (seq, place), tx.id("msg"), message)).collect()
}

/// Puts a turn aside, and tells the id of the message that began it.
fn park(tx: &Tx<'_>, session: &mut SessionRow, turn: TurnRow, reason: &str) -> Result<String, Failure> {
    let seq = turn.seq;
    let id = session.session.id.clone();
    let turn = turn.read(tx, &id)?;
    let parked = ParkedTurn { turn, reason: reason.to_owned(), parked_at: tx.now() };
    tx.put(&PARKED, (&id, seq), &parked)?;
    let all = tx.page(&PARKED, (&*id, 0)..=(&*id, u64::MAX), MAX_PAGE)?;
    for oldest in all.iter().rev().skip(MOST_PARKED) {
        tx.remove(&PARKED, (&id, oldest.turn.seq))?;
    }
    leave(tx, session, seq)?;
    Ok(parked.turn.message.id)
}

/// Takes a turn out of its queue.
fn leave(tx: &Tx<'_>, session: &mut SessionRow, seq: u64) -> Result<(), Failure> {
    tx.remove(&TURNS, (&session.session.id, seq))?;
    approvals::forget(tx, &session.session.id)?;
    session.waiting = session.waiting.saturating_sub(1);
    if session.waiting == 0 { session.release(tx) } else { Ok(()) }
}

impl TurnRow {
    fn read(self, tx: &Tx<'_>, session: &str) -> Result<Turn, Failure> {
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
        }
    }
}
