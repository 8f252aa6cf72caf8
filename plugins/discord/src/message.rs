//! The parts of the platform's messages that this connector reads.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// 2015-01-01: from here the platform's ids count their milliseconds.
const EPOCH_MS: u64 = 1_420_070_400_000;
/// The flag of a message that was spoken.
const VOICE: u64 = 1 << 13;
/// The kind of a channel in which several people are without a server.
pub(crate) const GROUP_DM: u64 = 3;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Message {
    pub id: String,
    /// A thread is a channel of its own.
    pub channel_id: String,
    /// Absent where the bot is written to alone.
    pub guild_id: Option<String>,
    pub author: User,
    pub content: String,
    #[serde(rename = "type")]
    pub kind: u64,
    pub mentions: Vec<User>,
    #[serde(deserialize_with = "each")]
    pub mention_roles: Vec<String>,
    #[serde(deserialize_with = "each")]
    pub mention_channels: Vec<Value>,
    /// The message that it answers; null: there is no such message any more.
    #[serde(deserialize_with = "even_null")]
    referenced_message: Option<Value>,
    #[serde(deserialize_with = "each")]
    message_snapshots: Vec<Value>,
    /// Where it stands in its thread; 0 may be no thread.
    position: Value,
    /// The kind of its channel, where the platform says it.
    channel_type: Value,
    #[serde(deserialize_with = "each")]
    pub attachments: Vec<Media>,
    #[serde(deserialize_with = "each")]
    pub sticker_items: Vec<Value>,
    #[serde(deserialize_with = "each")]
    pub embeds: Vec<Value>,
    #[serde(deserialize_with = "each")]
    pub components: Vec<Value>,
    pub poll: Option<Value>,
    pub activity: Option<Value>,
    flags: Value,
    /// Set when a program writes in a name of its choice.
    pub webhook_id: Option<IgnoredAny>,
}

/// A file of a message.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Media {
    /// Where it is, for whoever has this address.
    pub url: String,
    pub filename: String,
    pub content_type: Option<String>,
    /// In bytes.
    pub size: u64,
    /// Of what was recorded.
    pub duration_secs: Option<f64>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct User {
    pub id: String,
    pub username: String,
    pub global_name: Option<String>,
    pub bot: bool,
}

/// Files and the like, of which one that can't be read costs only itself: nobody knows where it is.
fn each<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(items: D) -> Result<Vec<T>, D::Error> {
    let items = match Value::deserialize(items)? {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    Ok(items.into_iter().map(|item| serde_json::from_value(item).unwrap_or_default()).collect())
}

/// What is null, and so was said.
fn even_null<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

impl Message {
    /// The message that it answers, if it answers one; none inside where there is no such message any more, or it can't be
    /// read.
    pub(crate) fn answered(&self) -> Option<Option<Message>> {
        let answered = self.referenced_message.as_ref().filter(|_| self.kind == 19 || self.is_starter())?;
        Some(serde_json::from_value(answered.clone()).ok().filter(|_| answered.is_object()))
    }

    /// The id of the message that it answers, and of whoever wrote that.
    pub(crate) fn answered_ids(&self) -> (Option<&str>, Option<&str>) {
        let id = |path: &str| self.referenced_message.as_ref()?.pointer(path)?.as_str();
        (id("/id"), id("/author/id"))
    }

    /// The messages that it passes on.
    pub(crate) fn snapshots(&self) -> Vec<Message> {
        let snapshot =
            |snapshot: &Value| serde_json::from_value(snapshot["message"].clone()).unwrap_or_default();
        self.message_snapshots.iter().map(snapshot).collect()
    }

    /// Whether it passes something on.
    pub(crate) fn is_forward(&self) -> bool {
        !self.message_snapshots.is_empty()
    }

    /// Whether it is what the platform puts at the beginning of a thread that was made of a message.
    pub(crate) fn is_starter(&self) -> bool {
        self.kind == 21
    }

    /// Whether it was certainly said in a thread.
    pub(crate) fn is_in_thread(&self) -> bool {
        self.position.as_u64() > Some(0) || matches!(self.channel_type.as_u64(), Some(10..=12))
    }

    /// Whether more than one person may speak there: in a server, or where several are without one.
    pub(crate) fn is_in_group(&self) -> bool {
        self.guild_id.is_some() || self.channel_type.as_u64() == Some(GROUP_DM)
    }

    pub(crate) fn is_whole(&self) -> bool {
        is_id(&self.id) && is_id(&self.channel_id) && is_id(&self.author.id)
    }

    /// Whether someone wrote it, alone or as an answer; the rest is the platform's own: joins, pins, boosts.
    pub(crate) fn is_written(&self) -> bool {
        matches!(self.kind, 0 | 19)
    }

    /// Whether it was spoken into a microphone.
    pub(crate) fn is_voice(&self) -> bool {
        self.flags.as_u64().is_some_and(|flags| flags & VOICE != 0)
    }
}

impl User {
    /// How people call this user.
    pub(crate) fn name(&self) -> String {
        self.global_name.as_ref().filter(|name| !name.is_empty()).unwrap_or(&self.username).clone()
    }
}

/// Whether this is an id of the platform: nothing but digits, so that it can stand in a URL.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// When what has this id was made, in Unix milliseconds.
pub(crate) fn made_at(id: &str) -> u64 {
    id.parse::<u64>().map_or(0, |id| (id >> 22) + EPOCH_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_time_and_is_only_digits() {
        assert_eq!(made_at("175928847299117063"), 1_462_015_105_796);
        assert_eq!(made_at("99999999999999999999"), 0, "no number of 64 bits");
        assert!(is_id("175928847299117063"));
        for text in ["", "12/../3", "@me", "１２", "123456789012345678901"] {
            assert!(!is_id(text), "{text}");
        }
    }
}
