//! Messages on platforms that show replies in the making, so that the reply takes their place also after a crash.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::handle::Store;
use super::kept::Kept;
use super::model::TurnId;
use super::rows::{Failure, MAX_PAGE, Result, Rows};
use super::tx::Tx;

/// By channel, session and the turn's number there.
const STREAMS: Rows<(&str, &str, u64), Streamed> = Rows::new("streams");

pub(super) const TABLES: &[&dyn Kept] = &[&STREAMS];

/// A message that shows as much of a turn's reply as there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Streamed {
    /// The turn.
    pub turn: TurnId,
    /// Where the message is, as the connector put it.
    pub target: Value,
    /// The platform's id of it. None: it has gone out, and nobody knows yet whether it is there.
    pub platform_id: Option<String>,
}

impl Store {
    /// The messages of a channel that show replies in the making.
    pub fn streams(&self, channel: &str) -> Result<Vec<Streamed>> {
        let ended = format!("{channel}\0");
        self.read(|snapshot| snapshot.page(&STREAMS, (channel, "", 0)..(ended.as_str(), "", 0), MAX_PAGE))
    }
}

/// Notes the message of a turn, or that there is none any more.
pub(super) fn set(
    tx: &Tx<'_>,
    channel: &str,
    turn: &TurnId,
    message: Option<&Streamed>,
) -> Result<(), Failure> {
    let key = (channel, turn.session.as_str(), turn.seq);
    match message {
        Some(message) => tx.put(&STREAMS, key, message),
        None => tx.remove(&STREAMS, key),
    }
}

/// Forgets the messages of a session that is erased.
pub(super) fn erase(tx: &Tx<'_>, channel: &str, session: &str) -> Result<(), Failure> {
    let of_session = (channel, session, 0)..=(channel, session, u64::MAX);
    match tx.page(&STREAMS, of_session.clone(), 1)?.is_empty() {
        true => Ok(()),
        false => tx.clear(&STREAMS, of_session),
    }
}

/// Whether a turn has one that can be edited.
pub(super) fn is_shown(tx: &Tx<'_>, channel: &str, turn: &TurnId) -> Result<bool, Failure> {
    let shown = tx.get(&STREAMS, (channel, turn.session.as_str(), turn.seq))?;
    Ok(shown.is_some_and(|shown| shown.platform_id.is_some()))
}
