//! The parts of the platform's messages that this connector reads.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// 2015-01-01: from here the platform's ids count their milliseconds.
const EPOCH_MS: u64 = 1_420_070_400_000;
/// The flag of a message that was spoken.
const VOICE: u64 = 1 << 13;

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
    pub referenced_message: Option<Box<Referenced>>,
    #[serde(deserialize_with = "each")]
    pub attachments: Vec<Media>,
    #[serde(deserialize_with = "each")]
    pub sticker_items: Vec<Value>,
    #[serde(deserialize_with = "each")]
    pub embeds: Vec<Value>,
    pub poll: Option<Value>,
    pub activity: Option<Value>,
    flags: Value,
    /// Set when a program writes in a name of its choice.
    pub webhook_id: Option<IgnoredAny>,
}

/// The message that another one answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Referenced {
    pub author: User,
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

impl Message {
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
