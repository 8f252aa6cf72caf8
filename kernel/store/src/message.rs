//! What is said in a session.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `msg_<ulid>`
    pub id: String,
    /// Who said it.
    pub role: Role,
    /// The platform's id of the person who said it, where the session belongs to someone else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
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

/// A file that goes with a message. Its bytes are kept for a while only: see [`crate::Blob`].
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
    /// The platform's id of the person who said it, where the session belongs to someone else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
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
        let Self { role, user_id, content, tool_calls, tool_call_id, is_error, attachments, stopped, .. } =
            self;
        NewMessage { role, user_id, content, tool_calls, tool_call_id, is_error, attachments, stopped }
    }
}

impl NewMessage {
    /// What a person says.
    pub fn user(content: impl Into<String>) -> Self {
        Self {
            role: Role::User,
            user_id: None,
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

fn is_false(value: &bool) -> bool {
    !value
}
