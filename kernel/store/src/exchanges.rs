//! Exchanges: turns that a program begins on behalf of its own caller, with the conversation that it knows, and tools that the
//! caller runs itself.

use redb::{ReadableTable, TableDefinition};
use serde_json::json;

use super::handle::Store;
use super::kept::Kept;
use super::message::NewMessage;
use super::messages;
use super::model::{NewSession, Session, Stop, Turn, TurnId};
use super::queue::{self, TURNS};
use super::rows::{Failure, Result};
use super::sessions::SessionRow;
use super::succession::open_after;
use super::terms::Terms;
use super::tx::{Effect, Tx};
use super::{events, turns};
use prx_base::events::Kind;

/// The newest session by the key that a program knows it by.
const KEYED: TableDefinition<'static, &str, &str> = TableDefinition::new("session_keys");

pub(super) const TABLES: &[&dyn Kept] = &[&KEYED];

/// Forgets the key of a session that is removed, unless a newer one has it.
pub(super) fn forget_key(tx: &Tx<'_>, row: &SessionRow) -> Result<(), Failure> {
    let Some(key) = row.key.as_deref() else { return Ok(()) };
    let is_its_own = tx.open(KEYED)?.get(key)?.is_some_and(|id| id.value() == row.session.id);
    if is_its_own {
        tx.change(KEYED)?.remove(key)?;
    }
    Ok(())
}

/// What is said in a session, and what is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct NewExchange {
    /// The id of the message that begins the turn, from [`Store::new_message_id`].
    pub id: String,
    /// What was said before, as far as the session does not know it.
    pub history: Vec<NewMessage>,
    /// What begins the turn: what a person says, or the result of the last call of the caller's own tools.
    pub opening: NewMessage,
    /// What is wanted.
    pub terms: Terms,
}

impl Store {
    /// The session of a key: the one that is there and has not ended, or a new one, which goes on where the one before it
    /// has ended.
    pub async fn keyed_session(&self, key: &str, new: NewSession) -> Result<Session> {
        let key = key.to_owned();
        self.write(move |tx| {
            let known = tx.open(KEYED)?.get(key.as_str())?.map(|id| id.value().to_owned());
            let before = match known {
                Some(id) if tx.get(&super::sessions::SESSIONS, id.as_str())?.is_some() => {
                    Some(SessionRow::load(tx, &id)?)
                }
                _ => None,
            };
            if let Some(open) = before.as_ref().filter(|row| row.is_open()) {
                return Ok(open.session.clone());
            }
            let mut row = open_after(tx, new, before, true)?;
            row.key = Some(key.clone());
            row.save(tx)?;
            row.announce(tx)?;
            tx.change(KEYED)?.insert(key.as_str(), row.session.id.as_str())?;
            Ok(row.session)
        })
        .await
    }

    /// Takes in what a program's caller says, and queues its turn.
    ///
    /// # Errors
    /// `not_found`; `conflict` when the session is terminated.
    pub async fn accept_exchange(&self, session: &str, new: NewExchange) -> Result<Turn> {
        let session = session.to_owned();
        self.write(move |tx| {
            let mut row = SessionRow::load(tx, &session)?;
            row.check_open()?;
            let NewExchange { id, history, opening, terms } = new;
            if !history.is_empty() {
                row.newest_turn += 1;
            }
            for (place, said) in (0_u32..).zip(history) {
                let place = (row.newest_turn, place);
                messages::append(tx, &mut row, place, tx.id("msg"), said)?;
            }
            let turn = queue::queue(tx, &mut row, (id, opening), None, Some(Box::new(terms)))?;
            row.save(tx)?;
            events::announce(tx, Kind::MessageReceived, json!({ "session_id": turn.session }))?;
            Ok(turn)
        })
        .await
    }

    /// Has one turn end with what it has said so far, or taken out of its queue if it has not begun. Does nothing for one
    /// that is over.
    ///
    /// # Errors
    /// `not_found` for the session.
    pub async fn cancel_turn(&self, id: &TurnId) -> Result<()> {
        let id = id.clone();
        self.write(move |tx| {
            let Some(mut turn) = tx.get(&TURNS, (&id.session, id.seq))? else { return Ok(()) };
            if queue::head(tx, &id.session)?.is_some_and(|head| head.seq == id.seq) {
                turn.stop = turn.stop.or(Some(Stop::Asked));
                tx.put(&TURNS, (&id.session, id.seq), &turn)?;
                tx.after_commit(Effect::TurnNotified(id.session));
                return Ok(());
            }
            let mut row = SessionRow::load(tx, &id.session)?;
            turns::park(tx, &mut row, turn, "whoever asked has gone")?;
            row.save(tx)
        })
        .await
    }
}
