//! Updates as the platform sends them, as far as this connector reads them.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// The updates that are asked for. Said each time, for a list that is left out is the one from before.
pub(crate) const UPDATES: [&str; 3] = ["message", "edited_message", "callback_query"];

/// Only what every update has, so that one of an unknown shape still counts as seen.
#[derive(Deserialize)]
pub(crate) struct Numbered {
    pub update_id: i64,
}

/// An update of the kinds that were asked for.
#[derive(Deserialize)]
pub(crate) struct Update {
    pub message: Option<Message>,
    pub edited_message: Option<Message>,
    pub callback_query: Option<Press>,
}

/// Someone pressed a button under a message.
#[derive(Debug, Deserialize)]
pub(crate) struct Press {
    pub id: String,
    pub from: User,
    pub message: Option<Message>,
    pub data: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Message {
    pub message_id: i64,
    pub message_thread_id: Option<i64>,
    pub is_topic_message: bool,
    pub from: Option<User>,
    /// Set when someone writes in the name of a chat: an anonymous administrator in that of the group, others in that of
    /// a channel.
    pub sender_chat: Option<Chat>,
    /// A post of the channel that the group belongs to: nobody said it here.
    pub is_automatic_forward: bool,
    pub date: u64,
    pub chat: Chat,
    pub reply_to_message: Option<Box<Replied>>,
    /// Set when it answers something of elsewhere.
    pub external_reply: Option<IgnoredAny>,
    pub reply_to_story: Option<IgnoredAny>,
    /// The part of what it answers that was chosen.
    pub quote: Option<IgnoredAny>,
    /// Set when someone else said it, elsewhere.
    pub forward_origin: Option<IgnoredAny>,
    /// The same, as servers say it that are older than origins.
    pub forward_date: Option<IgnoredAny>,
    pub text: Option<String>,
    /// Set when it has blocks in place of a text.
    pub rich_message: Option<IgnoredAny>,
    pub entities: Vec<Entity>,
    pub caption: Option<String>,
    pub caption_entities: Vec<Entity>,
    pub migrate_to_chat_id: Option<i64>,
    pub reply_markup: Option<Keyboard>,
}

/// An update of which only the media of its message matters.
#[derive(Deserialize)]
pub(crate) struct WithMedia {
    #[serde(alias = "edited_message")]
    pub message: MessageMedia,
}

/// An update whose message is read bit by bit.
#[derive(Deserialize)]
pub(crate) struct Raw {
    #[serde(alias = "edited_message")]
    pub message: Value,
}

/// An update of which only the press that waits for an answer matters.
#[derive(Deserialize)]
pub(crate) struct WithPress {
    pub callback_query: Pressed,
}

/// What every press of a button has.
#[derive(Deserialize)]
pub(crate) struct Pressed {
    pub id: String,
}

/// What a message shows or plays.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MessageMedia {
    /// What belongs together comes as messages of one group.
    pub media_group_id: Option<String>,
    /// One picture in several sizes, the largest last.
    pub photo: Vec<Media>,
    pub document: Option<Media>,
    pub audio: Option<Media>,
    pub voice: Option<Media>,
    pub video: Option<Media>,
    pub video_note: Option<Media>,
}

/// One file, to be fetched by its id.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Media {
    pub file_id: String,
    pub file_name: Option<String>,
    pub mime_type: Option<String>,
    pub file_size: Option<u64>,
    /// In seconds.
    pub duration: Option<u64>,
}

/// The buttons under a message.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Keyboard {
    pub inline_keyboard: Vec<Vec<Button>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Button {
    pub text: String,
    pub callback_data: Option<String>,
}

/// The message that another one answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Replied {
    pub message_id: i64,
    pub from: Option<User>,
    /// In a topic, what answers nothing in particular answers the topic's own beginning.
    pub forum_topic_created: Option<IgnoredAny>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct User {
    pub id: i64,
    pub is_bot: bool,
    pub first_name: String,
    pub last_name: Option<String>,
    pub username: Option<String>,
    /// BCP 47, as the person's app is set.
    pub language_code: Option<String>,
}

impl User {
    /// How people call this user.
    pub fn name(&self) -> String {
        match &self.last_name {
            Some(last) => format!("{} {last}", self.first_name),
            None => self.first_name.clone(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Chat {
    pub id: i64,
    #[serde(rename = "type")]
    pub kind: String,
    pub title: Option<String>,
    pub username: Option<String>,
}

impl Chat {
    /// Whether more than one person may speak in it.
    pub(crate) fn is_group(&self) -> bool {
        matches!(self.kind.as_str(), "group" | "supergroup" | "channel")
    }
}

/// A marked piece of a text; only one that names a user matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entity {
    pub user: Option<User>,
}
