//! What agents keep: their state in each session, where its history begins, and what one session of a conversation leaves
//! for the next.

use std::ops::Bound;

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition};

use super::handle::Store;
use super::kept::Kept;
use super::message::NewMessage;
use super::model::{AgentCommit, AgentRecord, AgentState, Session};
use super::rows::{Failure, Result, Snapshot};
use super::tx::Tx;

/// By session and plugin.
const STATES: TableDefinition<'static, (&str, &str), (u32, &[u8])> = TableDefinition::new("agent_states");
/// By session and plugin: the state before the last change of its version, and where the history began then, empty for all
/// of it. The code of that version goes on from there if it comes back.
const EARLIER: TableDefinition<'static, (&str, &str), (u32, &[u8], &str)> =
    TableDefinition::new("agent_states_earlier");
/// By session: the first message that is part of its history; empty: all are.
const BEGINNINGS: TableDefinition<'static, &str, &str> = TableDefinition::new("agent_beginnings");
/// By session: what it leaves for the next one.
const LEFT: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("agent_left");
/// By session: what the one before has left for it.
const CARRIED: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("agent_carried");
/// By session: when the oldest was said of which it was given something, in Unix milliseconds.
const CARRIED_SINCE: TableDefinition<'static, &str, i64> = TableDefinition::new("agent_carried_since");
/// By session: how often all of that was forgotten. What an agent has made of it before is kept no more.
const FORGOTTEN: TableDefinition<'static, &str, u64> = TableDefinition::new("agent_forgotten");

pub(super) const TABLES: &[&dyn Kept] =
    &[&STATES, &EARLIER, &BEGINNINGS, &LEFT, &CARRIED, &CARRIED_SINCE, &FORGOTTEN];

impl Store {
    /// What an agent has kept of a session.
    pub fn agent_record(&self, session: &str, plugin: &str) -> Result<AgentRecord> {
        self.read(|snapshot| {
            let state = snapshot.open(STATES)?.get((session, plugin))?.map(|row| {
                let (version, bytes) = row.value();
                AgentState { version, bytes: bytes.to_owned() }
            });
            let history_from = snapshot.open(BEGINNINGS)?.get(session)?.map(|id| id.value().to_owned());
            let history_from = history_from.filter(|id| !id.is_empty());
            let earlier = snapshot.open(EARLIER)?.get((session, plugin))?.map(|row| {
                let (version, bytes, from) = row.value();
                (AgentState { version, bytes: bytes.to_owned() }, from.to_owned())
            });
            let carried = snapshot.open(CARRIED)?.get(session)?.map(|bytes| bytes.value().to_owned());
            let forgotten = snapshot.open(FORGOTTEN)?.get(session)?.map_or(0, |count| count.value());
            Ok(AgentRecord { state, history_from, earlier, carried, forgotten })
        })
    }
}

/// Keeps what a step changes for good.
pub(super) fn keep(tx: &Tx<'_>, session: &str, agent: &AgentCommit) -> Result<(), Failure> {
    if agent.state.is_none() && agent.left.is_none() && agent.history_from.is_none() {
        return Ok(());
    }
    if tx.open(FORGOTTEN)?.get(session)?.map_or(0, |count| count.value()) != agent.forgotten {
        return Ok(());
    }
    if let Some(state) = &agent.state {
        let key = (session, agent.plugin.as_str());
        let mut states = tx.change(STATES)?;
        let before = states.get(key)?.map(|row| (row.value().0, row.value().1.to_owned()));
        if let Some((version, bytes)) = before.filter(|(version, _)| *version != state.version) {
            let from = tx.open(BEGINNINGS)?.get(session)?.map(|id| id.value().to_owned());
            let from = from.unwrap_or_default();
            tx.change(EARLIER)?.insert(key, (version, bytes.as_slice(), from.as_str()))?;
        }
        states.insert(key, (state.version, state.bytes.as_slice()))?;
    }
    if let Some(left) = &agent.left {
        tx.change(LEFT)?.insert(session, left.as_slice())?;
    }
    if let Some(first) = &agent.history_from {
        tx.change(BEGINNINGS)?.insert(session, first.as_str())?;
    }
    Ok(())
}

/// Gives a session what the one before it has left: where no turn of that has left anything, what it was given itself.
pub(super) fn pass_on(tx: &Tx<'_>, from: &Session, to: &str) -> Result<(), Failure> {
    let (opened, from) = (from.created_at.as_millisecond(), from.id.as_str());
    let kept = |table: TableDefinition<'static, &'static str, &'static [u8]>| {
        let kept = tx.open(table)?.get(from)?.map(|bytes| bytes.value().to_owned());
        Ok::<_, Failure>(kept)
    };
    let left = kept(LEFT)?.map_or_else(|| kept(CARRIED), |left| Ok(Some(left)))?;
    if let Some(left) = left.filter(|left| !left.is_empty()) {
        let since = tx.open(CARRIED_SINCE)?.get(from)?.map_or(opened, |since| since.value());
        tx.change(CARRIED)?.insert(to, left.as_slice())?;
        tx.change(CARRIED_SINCE)?.insert(to, since)?;
    }
    Ok(())
}

/// Sessions, in the order of their ids, that were given something of what was said before a moment.
pub(super) fn given_from_before(
    snapshot: &Snapshot,
    moment: Timestamp,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, Failure> {
    let mut sessions = Vec::new();
    for row in snapshot.open(CARRIED_SINCE)?.range::<&str>((Bound::Excluded(after), Bound::Unbounded))? {
        let (session, since) = row?;
        if since.value() < moment.as_millisecond() {
            sessions.push(session.value().to_owned());
        }
        if sessions.len() == limit {
            break;
        }
    }
    Ok(sessions)
}

/// Whether a session was given something by the one before it.
pub(super) fn is_given(tx: &Tx<'_>, session: &str) -> Result<bool, Failure> {
    Ok(tx.open(CARRIED)?.get(session)?.is_some())
}

/// The same, for a reader.
pub(super) fn seems_given(snapshot: &Snapshot, session: &str) -> Result<bool, Failure> {
    Ok(snapshot.open(CARRIED)?.get(session)?.is_some())
}

/// Forgets all that agents have kept of a session: what is erased may be part of it. A turn at work ends without leaving
/// anything.
pub(super) fn forget(tx: &Tx<'_>, session: &str) -> Result<(), Failure> {
    erase(tx, session)?;
    let mut forgotten = tx.change(FORGOTTEN)?;
    let count = forgotten.get(session)?.map_or(0, |count| count.value());
    forgotten.insert(session, count + 1)?;
    Ok(())
}

/// Forgets it with the session.
pub(super) fn forget_session(tx: &Tx<'_>, session: &str) -> Result<(), Failure> {
    erase(tx, session)?;
    tx.change(FORGOTTEN)?.remove(session)?;
    Ok(())
}

/// Removes it. Each table's rows are written over before the first of them goes, as [`Tx::blank`] does.
fn erase(tx: &Tx<'_>, session: &str) -> Result<(), Failure> {
    let (mut states, mut earlier) = (tx.change(STATES)?, tx.change(EARLIER)?);
    let rows = states.range((session, "")..(session, "~"))?.map(|row| {
        let (key, state) = row?;
        Ok::<_, redb::StorageError>((key.value().1.to_owned(), state.value().1.len()))
    });
    let plugins: Vec<(String, usize)> = rows.collect::<Result<_, _>>()?;
    for (plugin, length) in &plugins {
        let key = (session, plugin.as_str());
        states.insert(key, (0, vec![0; *length].as_slice()))?;
        let length = earlier.get(key)?.map(|row| row.value().1.len());
        if let Some(length) = length {
            earlier.insert(key, (0, vec![0; length].as_slice(), ""))?;
        }
    }
    for (plugin, _) in &plugins {
        states.remove((session, plugin.as_str()))?;
        earlier.remove((session, plugin.as_str()))?;
    }
    for table in [LEFT, CARRIED] {
        let mut table = tx.change(table)?;
        let length = table.get(session)?.map(|bytes| bytes.value().len());
        if let Some(length) = length {
            table.insert(session, vec![0; length].as_slice())?;
            table.remove(session)?;
        }
    }
    tx.change(BEGINNINGS)?.remove(session)?;
    tx.change(CARRIED_SINCE)?.remove(session)?;
    Ok(())
}

/// A message that keeps the id it was given while its turn was at work.
pub(super) fn id_of(tx: &Tx<'_>, message: &NewMessage) -> String {
    message.id.clone().unwrap_or_else(|| tx.id("msg"))
}
