//! What was said in a session.

use jiff::Timestamp;
use redb::{TableDefinition, WriteTransaction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rows::{Cause, Failure, Rows, Tx};
use super::sessions::SessionRow;
use super::{Page, Store};
use prx_base::error::{Error, Result};

/// By session, turn and place in the turn: an answer stands with what it answers, even where more was said while
/// it was being made.
pub(super) const MESSAGES: Rows<(&str, u64, u32), Message> = Rows::new("messages");
/// The turn and the place in it of every message, by id.
const PLACES: TableDefinition<'static, &str, (u64, u32)> = TableDefinition::new("message_places");

pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), Cause> {
    transaction.open_table(PLACES)?;
    Ok(MESSAGES.create(transaction)?)
}

/// One thing that was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `msg_<ulid>`
    pub id: String,
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: String,
    /// When it came into the store.
    pub created_at: Timestamp,
    /// Tools that an assistant message asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Whether a tool message says that the call failed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_error: bool,
    /// The files that came with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Whether an assistant message was cut short because the turn was stopped.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stopped: bool,
}

/// A file that goes with a message. Its bytes are kept for a while only: see [`super::Blob`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    /// The blob's id.
    pub blob: String,
    /// What a person would call it.
    pub kind: AttachmentKind,
    /// A file name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `image/png`, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// In bytes.
    pub size: u64,
}

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

/// What a person would call a file, whatever its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttachmentKind {
    /// A picture.
    Image,
    /// Speech or music.
    Audio,
    /// A film.
    Video,
    /// Something to read.
    Document,
    /// Anything else.
    Other,
}

impl AttachmentKind {
    /// What a person would call a file of this media type.
    pub fn of(mime: &str) -> Self {
        match mime.split('/').next() {
            Some("image") => Self::Image,
            Some("audio") => Self::Audio,
            Some("video") => Self::Video,
            _ => Self::Document,
        }
    }
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The agent.
    Assistant,
    /// A tool that the agent called.
    Tool,
}

/// A tool that the agent wants called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Unique in its message.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON, as the model wrote it.
    pub arguments: String,
}

/// A message to be stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewMessage {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: String,
    /// Tools that an assistant message asks for.
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool message answers.
    pub tool_call_id: Option<String>,
    /// Whether a tool message says that the call failed.
    pub is_error: bool,
    /// The files that come with it.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Whether an assistant message was cut short because the turn was stopped.
    #[serde(default)]
    pub stopped: bool,
}

impl Message {
    /// What was said, without when and under which id.
    pub fn said(self) -> NewMessage {
        let Self { role, content, tool_calls, tool_call_id, is_error, attachments, stopped, .. } = self;
        NewMessage { role, content, tool_calls, tool_call_id, is_error, attachments, stopped }
    }
}

impl NewMessage {
    /// What a person says.
    pub fn user(content: impl Into<String>) -> Self {
        Self {
            role: Role::User,
            content: content.into(),
            tool_calls: Vec::new(),
            tool_call_id: None,
            is_error: false,
            attachments: Vec::new(),
            stopped: false,
        }
    }

    /// What the agent says.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: Role::Assistant, ..Self::user(content) }
    }

    /// What a tool answers to a call.
    pub fn tool(call: impl Into<String>, content: impl Into<String>, is_error: bool) -> Self {
        Self { role: Role::Tool, tool_call_id: Some(call.into()), is_error, ..Self::user(content) }
    }
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
        content: new.content,
        created_at: tx.now(),
        tool_calls: new.tool_calls,
        tool_call_id: new.tool_call_id,
        is_error: new.is_error,
        attachments: new.attachments,
        stopped: new.stopped,
    };
    tx.put(&MESSAGES, (&row.session.id, turn, place), &message)?;
    tx.change(PLACES)?.insert(message.id.as_str(), (turn, place))?;
    row.messages += 1;
    Ok(message)
}

fn is_false(value: &bool) -> bool {
    !value
}
