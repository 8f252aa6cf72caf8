//! The parts of the Bot API that this connector reads.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// What came of one Bot API call: its `result` as JSON, or why there is none.
pub(crate) type Answer<'a> = Result<&'a RawValue, Trouble>;

/// Why a Bot API call gave no result, by what has to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The token isn't valid (or the API base points somewhere else): nothing will work.
    Token(String),
    /// Someone else polls with the same token, or a webhook is set.
    Conflict(String),
    /// Too many requests; the seconds to wait.
    Pace(u32),
    /// The group became a supergroup with this id.
    Migrated(i64),
    /// The platform will not do this, however often it is asked.
    Refused(String),
    /// The platform has a problem of its own; it did not do what was asked.
    Server(String),
    /// It may or may not have happened.
    Unknown(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    ok: bool,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error_code: Option<u16>,
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize, Default)]
struct Parameters {
    retry_after: Option<u32>,
    migrate_to_chat_id: Option<i64>,
}

/// Reads an HTTP response of the Bot API. Any bytes are fine: a proxy may have answered in its place.
pub(crate) fn answer(status: u16, body: &[u8]) -> Answer<'_> {
    match serde_json::from_slice::<Envelope>(body) {
        Ok(Envelope { ok: true, result: Some(result), .. }) if status < 300 => Ok(result),
        Ok(envelope) if !envelope.ok => Err(trouble(status, envelope)),
        _ => Err(foreign(status)),
    }
}

fn trouble(status: u16, envelope: Envelope<'_>) -> Trouble {
    let code = envelope.error_code.unwrap_or(status);
    let parameters = envelope.parameters.unwrap_or_default();
    let description = envelope.description.unwrap_or_else(|| format!("HTTP {status} without a description"));
    match code {
        401 | 404 => Trouble::Token(description),
        409 => Trouble::Conflict(description),
        429 => Trouble::Pace(parameters.retry_after.unwrap_or(1)),
        504 => Trouble::Unknown(description),
        500.. => Trouble::Server(description),
        _ => match parameters.migrate_to_chat_id {
            Some(chat) => Trouble::Migrated(chat),
            None => Trouble::Refused(description),
        },
    }
}

/// What a status means when the body isn't the Bot API's.
fn foreign(status: u16) -> Trouble {
    let reason = format!("HTTP {status} with a body that is no Bot API answer");
    match status {
        401 | 404 => Trouble::Token(reason),
        409 => Trouble::Conflict(reason),
        429 => Trouble::Pace(1),
        200..=299 | 504 => Trouble::Unknown(reason),
        400 | 403 => Trouble::Refused(reason),
        _ => Trouble::Server(reason),
    }
}

/// The bot itself, as `getMe` describes it.
#[derive(Debug, Deserialize)]
pub struct Me {
    pub id: i64,
    #[serde(default)]
    pub username: String,
}

/// Only what every update has, so that one of an unknown shape still counts as seen.
#[derive(Deserialize)]
pub(crate) struct Numbered {
    pub update_id: i64,
}

/// An update of the kinds that were asked for.
#[derive(Deserialize)]
pub(crate) struct Update {
    pub message: Option<Message>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Message {
    pub message_id: i64,
    pub message_thread_id: Option<i64>,
    pub is_topic_message: bool,
    pub from: Option<User>,
    /// Set when someone writes in the name of a chat: an anonymous administrator, a linked channel.
    pub sender_chat: Option<IgnoredAny>,
    pub date: u64,
    pub chat: Chat,
    pub reply_to_message: Option<Box<Replied>>,
    pub text: Option<String>,
    pub entities: Vec<Entity>,
    pub caption: Option<String>,
    pub caption_entities: Vec<Entity>,
    pub migrate_to_chat_id: Option<i64>,
}

/// The message that another one answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Replied {
    pub from: Option<User>,
    /// In a topic, what answers nothing in particular answers the topic's own beginning.
    pub forum_topic_created: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct User {
    pub id: i64,
    pub is_bot: bool,
    pub first_name: String,
    pub last_name: Option<String>,
    pub username: Option<String>,
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
}

impl Chat {
    pub(crate) fn is_group(&self) -> bool {
        matches!(self.kind.as_str(), "group" | "supergroup")
    }
}

/// A marked piece of a text; only one that names a user matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entity {
    pub user: Option<User>,
}

/// What `sendMessage` made.
#[derive(Deserialize)]
pub(crate) struct Sent {
    pub message_id: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble_of(status: u16, body: &str) -> Trouble {
        answer(status, body.as_bytes()).expect_err("no result")
    }

    #[test]
    fn a_result_is_handed_on_as_it_is() {
        assert_eq!(answer(200, br#"{"ok":true,"result":[1, 2],"new_field":{}}"#).unwrap().get(), "[1, 2]");
    }

    #[test]
    fn errors_are_told_apart_by_what_to_do() {
        let body = |code: u16, parameters: &str| {
            format!(r#"{{"ok":false,"error_code":{code},"description":"why","parameters":{parameters}}}"#)
        };
        assert_eq!(trouble_of(401, &body(401, "{}")), Trouble::Token("why".into()));
        assert_eq!(trouble_of(404, &body(404, "null")), Trouble::Token("why".into()));
        assert_eq!(trouble_of(409, &body(409, "{}")), Trouble::Conflict("why".into()));
        assert_eq!(trouble_of(429, &body(429, r#"{"retry_after":7}"#)), Trouble::Pace(7));
        assert_eq!(trouble_of(400, &body(400, r#"{"migrate_to_chat_id":-100}"#)), Trouble::Migrated(-100));
        assert_eq!(trouble_of(403, &body(403, "{}")), Trouble::Refused("why".into()));
        assert_eq!(trouble_of(502, &body(502, "{}")), Trouble::Server("why".into()));
        assert_eq!(trouble_of(504, &body(504, "{}")), Trouble::Unknown("why".into()));
    }

    #[test]
    fn a_body_of_something_in_between_is_judged_by_its_status() {
        assert!(matches!(trouble_of(502, "<html>"), Trouble::Server(_)));
        assert!(matches!(trouble_of(200, "<html>"), Trouble::Unknown(_)));
        assert!(matches!(trouble_of(302, ""), Trouble::Server(_)));
        assert!(matches!(trouble_of(200, r#"{"ok":true}"#), Trouble::Unknown(_)));
        assert!(matches!(answer(200, b"\xff\xfe"), Err(Trouble::Unknown(_))));
    }
}
