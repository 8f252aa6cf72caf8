//! What was said in a session.

use std::ops::RangeInclusive;

use redb::{ReadableTable, TableDefinition};

use super::handle::Store;
use super::kept::Kept;
use super::message::{Message, NewMessage};
use super::rows::{Failure, Page, Result, Rows, decode};
use super::sessions::SessionRow;
use super::tx::Tx;
use prx_base::error::Error;

/// By session, turn and place in the turn: an answer stands with what it answers, even where more was said while
/// it was being made.
pub(super) const MESSAGES: Rows<(&str, u64, u32), Message> = Rows::new("messages");
/// The turn and the place in it of every message, by id.
pub(super) const PLACES: TableDefinition<'static, &str, (u64, u32)> = TableDefinition::new("message_places");

pub(super) const TABLES: &[&dyn Kept] = &[&PLACES, &MESSAGES];

/// Takes the files out of a message, and says so in its text.
pub(super) fn leave_files_out(tx: &Tx<'_>, place: (&str, u64, u32)) -> Result<(), Failure> {
    let Some(mut message) = tx.get(&MESSAGES, place)? else { return Ok(()) };
    if message.attachments.is_empty() {
        return Ok(());
    }
    let files = message.attachments.drain(..).map(|file| file.name.unwrap_or_else(|| "a file".to_owned()));
    let note = format!("[left out, for it could not be read: {}]", files.collect::<Vec<_>>().join(", "));
    message.content = format!("{}\n{note}", message.content).trim_start().to_owned();
    tx.put(&MESSAGES, place, &message)
}

impl Store {
    /// An id for a message that is about to come in, so that its turn can be listened to from the beginning.
    pub fn new_message_id(&self) -> String {
        self.shared.ids.next("msg", self.shared.clock.now())
    }

    /// Up to `limit` messages of a session, newest last: the last ones, or the last ones before a given message.
    ///
    /// Messages stand in the order of their turns, so what stands before a turn's own message is what a model needs
    /// to be told.
    ///
    /// # Errors
    /// `not_found` for the session; `bad_request` when `before` is no message of it.
    pub fn messages(&self, session: &str, limit: usize, before: Option<&str>) -> Result<Page<Message>> {
        self.read(|snapshot| {
            let total = SessionRow::see(snapshot, session)?.messages;
            let (turn, place) = match before {
                None => (u64::MAX, u32::MAX),
                Some(id) => {
                    let unknown =
                        || Error::bad_request(format!("before: session {session} has no message {id}"));
                    let (turn, place) = snapshot.open(PLACES)?.get(id)?.ok_or_else(unknown)?.value();
                    let found = snapshot.get(&MESSAGES, (session, turn, place))?;
                    found.filter(|message: &Message| message.id == id).ok_or_else(unknown)?;
                    (turn, place)
                }
            };
            let items = snapshot.last_page(&MESSAGES, (session, 0, 0)..(session, turn, place), limit)?;
            Ok(Page { items, total: usize::try_from(total).unwrap_or(usize::MAX) })
        })
    }
}

/// Up to `limit` messages of a session from its beginning, each with its turn and its place there.
pub(super) fn first(tx: &Tx<'_>, session: &str, limit: usize) -> Result<Vec<(u64, u32, Message)>, Failure> {
    placed(tx, (session, 0, 0)..=(session, u64::MAX, u32::MAX), limit)
}

/// Everything that was said in a turn, in the same way.
pub(super) fn of_turn(tx: &Tx<'_>, session: &str, turn: u64) -> Result<Vec<(u64, u32, Message)>, Failure> {
    placed(tx, (session, turn, 0)..=(session, turn, u32::MAX), usize::MAX)
}

fn placed(
    tx: &Tx<'_>,
    range: RangeInclusive<(&str, u64, u32)>,
    limit: usize,
) -> Result<Vec<(u64, u32, Message)>, Failure> {
    let table = tx.open(MESSAGES.table())?;
    let mut found = Vec::new();
    for entry in table.range(range)?.take(limit) {
        let (key, row) = entry?;
        let (_, turn, place) = key.value();
        found.push((turn, place, decode(row.value())?));
    }
    Ok(found)
}

/// Removes a message; the caller counts it out of the session's row.
pub(super) fn remove(tx: &Tx<'_>, place: (&str, u64, u32), id: &str) -> Result<(), Failure> {
    tx.change(PLACES)?.remove(id)?;
    tx.remove(&MESSAGES, place)
}

/// Puts a message at its place in a turn, and counts it in the session's row.
pub(super) fn append(
    tx: &Tx<'_>,
    row: &mut SessionRow,
    (turn, place): (u64, u32),
    id: String,
    new: NewMessage,
) -> Result<Message, Failure> {
    let message = Message {
        id,
        role: new.role,
        user_id: new.user_id,
        content: new.content,
        created_at: tx.now(),
        tool_calls: new.tool_calls,
        tool_call_id: new.tool_call_id,
        is_error: new.is_error,
        attachments: new.attachments,
        stopped: new.stopped,
        context: new.context,
        provider_data: new.provider_data,
    };
    tx.put(&MESSAGES, (&row.session.id, turn, place), &message)?;
    tx.change(PLACES)?.insert(message.id.as_str(), (turn, place))?;
    row.messages += 1;
    Ok(message)
}
