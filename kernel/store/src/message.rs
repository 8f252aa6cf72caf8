//! What is said in a session.

use std::collections::BTreeMap;

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
    /// What a channel said of a person's message besides its text.
    #[serde(default, skip_serializing_if = "MessageContext::is_empty")]
    pub context: MessageContext,
    /// What the provider that wrote an assistant message wants to see again with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_data: Option<ProviderData>,
}

/// What a person's message stands in, on a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageContext {
    /// Who said it, where more than one person may speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// What was said before it in the conversation and not to the agent, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overheard: Vec<Overheard>,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Quoted>,
    /// What it passes on from elsewhere, oldest first: the words of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forwarded: Vec<Quoted>,
}

impl MessageContext {
    /// Whether there is nothing but the text.
    pub fn is_empty(&self) -> bool {
        let Self { sender, overheard, reply_to, forwarded } = self;
        sender.is_none() && overheard.is_empty() && reply_to.is_none() && forwarded.is_empty()
    }
}

/// Who speaks on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The platform's id.
    pub id: String,
    /// For people.
    pub name: String,
}

/// Something that was said in a conversation and not to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overheard {
    /// Who said it.
    pub sender: Sender,
    /// What was said.
    pub text: String,
    /// When it was heard.
    pub at: Timestamp,
}

/// Another message, as far as its platform shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quoted {
    /// Who wrote it; none: the platform doesn't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The agent wrote it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub from_agent: bool,
    /// Its text, or the part of it that was chosen.
    pub text: String,
    /// Only the part that was chosen.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_part: bool,
    /// The names of its files, which are among those of the message that quotes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// What a model's server wants to see again with an answer of its own. Only the provider and the model that wrote it can
/// read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderData {
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// Of the message as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Of single tool calls, by their ids.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<String, String>,
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
    /// Its id, where it was named before it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
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
    /// What a channel says of a person's message besides its text.
    #[serde(default)]
    pub context: MessageContext,
    /// What the provider that wrote an assistant message wants to see again with it.
    #[serde(default)]
    pub provider_data: Option<ProviderData>,
}

impl Message {
    /// What was said, without when and under which id.
    pub fn said(self) -> NewMessage {
        let Self {
            id, role, user_id, content, tool_calls, tool_call_id, is_error, attachments, stopped, ..
        } = self;
        let id = Some(id);
        let (context, provider_data) = (self.context, self.provider_data);
        NewMessage {
            id,
            role,
            user_id,
            content,
            tool_calls,
            tool_call_id,
            is_error,
            attachments,
            stopped,
            context,
            provider_data,
        }
    }
}

impl NewMessage {
    /// What a person says.
    pub fn user(content: impl Into<String>) -> Self {
        Self {
            id: None,
            role: Role::User,
            user_id: None,
            content: content.into(),
            tool_calls: Vec::new(),
            tool_call_id: None,
            is_error: false,
            attachments: Vec::new(),
            stopped: false,
            context: MessageContext::default(),
            provider_data: None,
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
