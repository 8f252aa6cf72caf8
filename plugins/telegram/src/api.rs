//! Answers of the Bot API, and what has to be done about one that is no result.

use prx_sdk::cooldown;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What came of one Bot API call: its `result` as JSON, or why there is none.
pub(crate) type Answer<'a> = Result<&'a RawValue, Failure>;

/// Why a Bot API call gave no result, by what has to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The token isn't valid: nothing will work.
    Token(String),
    /// Someone else polls with the same token, or a webhook is set.
    Conflict(String),
    /// Too many requests; the seconds to wait, if it is said how long.
    RateLimited(Option<u32>),
    /// The group became a supergroup with this id.
    Migrated(i64),
    /// The platform will not do this, however often it is asked.
    Refused(String),
    /// The platform has a problem of its own; it did not do what was asked.
    Server(String),
    /// It may or may not have happened.
    Unknown(String),
}

impl Failure {
    /// What the platform says of it.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Failure::Token(reason)
            | Failure::Conflict(reason)
            | Failure::Refused(reason)
            | Failure::Server(reason)
            | Failure::Unknown(reason) => reason,
            Failure::RateLimited(_) => "the platform asks to slow down",
            Failure::Migrated(_) => "the group moved",
        }
    }
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

/// What stands in front of the platform has no say about the token, nor about what was asked.
const FOREIGN: &str = "a body that is no Bot API answer";

#[derive(Deserialize, Default)]
struct Parameters {
    retry_after: Option<u32>,
    migrate_to_chat_id: Option<i64>,
}

/// Reads an HTTP response of the Bot API. Any bytes are fine: a proxy may have answered in its place.
pub(crate) fn answer(status: u16, body: &[u8]) -> Answer<'_> {
    match serde_json::from_slice::<Envelope>(body) {
        Ok(Envelope { ok: true, result: Some(result), .. }) if status < 300 => Ok(result),
        Ok(Envelope { ok: false, error_code: Some(code), description, parameters, .. }) => {
            Err(failure(code, description, parameters.unwrap_or_default()))
        }
        _ => Err(foreign(status, body)),
    }
}

fn failure(code: u16, description: Option<String>, parameters: Parameters) -> Failure {
    let description = description.unwrap_or_else(|| format!("error {code} without a description"));
    match code {
        401 | 404 => Failure::Token(description),
        409 => Failure::Conflict(description),
        429 => Failure::RateLimited(parameters.retry_after.filter(|seconds| *seconds > 0)),
        504 => Failure::Unknown(description),
        500.. => Failure::Server(description),
        _ => match parameters.migrate_to_chat_id {
            Some(chat) => Failure::Migrated(chat),
            None => Failure::Refused(description),
        },
    }
}

/// What a status means when the body isn't the Bot API's.
fn foreign(status: u16, body: &[u8]) -> Failure {
    let reason = format!("HTTP {status} with {FOREIGN}");
    match status {
        413 => Failure::Refused(format!("Request Entity Too Large: {reason}")),
        429 => Failure::RateLimited(None),
        403 if cooldown::is_ban(body) => Failure::RateLimited(None),
        200..=299 | 504 => Failure::Unknown(reason),
        _ => Failure::Server(reason),
    }
}

/// The bot itself, as `getMe` describes it.
#[derive(Debug, Deserialize)]
pub struct Me {
    pub id: i64,
    #[serde(default)]
    pub username: String,
    /// False: in groups, the platform keeps from it what is not said to it.
    #[serde(default)]
    pub can_read_all_group_messages: Option<bool>,
}

/// What a method that sends made.
#[derive(Deserialize)]
pub(crate) struct Sent {
    pub message_id: i64,
}

/// Where a file can be fetched, as `getFile` says.
#[derive(Deserialize)]
pub(crate) struct Located {
    pub file_path: Option<String>,
    pub file_size: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure_of(status: u16, body: &str) -> Failure {
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
        assert_eq!(failure_of(401, &body(401, "{}")), Failure::Token("why".into()));
        assert_eq!(failure_of(404, &body(404, "null")), Failure::Token("why".into()));
        assert_eq!(failure_of(409, &body(409, "{}")), Failure::Conflict("why".into()));
        assert_eq!(failure_of(429, &body(429, r#"{"retry_after":7}"#)), Failure::RateLimited(Some(7)));
        assert_eq!(failure_of(429, &body(429, r#"{"retry_after":0}"#)), Failure::RateLimited(None));
        assert_eq!(failure_of(429, &body(429, "{}")), Failure::RateLimited(None));
        assert_eq!(failure_of(400, &body(400, r#"{"migrate_to_chat_id":-100}"#)), Failure::Migrated(-100));
        assert_eq!(failure_of(403, &body(403, "{}")), Failure::Refused("why".into()));
        assert_eq!(failure_of(502, &body(502, "{}")), Failure::Server("why".into()));
        assert_eq!(failure_of(504, &body(504, "{}")), Failure::Unknown("why".into()));
    }

    #[test]
    fn a_body_of_something_in_between_is_judged_by_its_status() {
        assert!(matches!(failure_of(502, "<html>"), Failure::Server(_)));
        assert!(matches!(failure_of(200, "<html>"), Failure::Unknown(_)));
        for body in ["<html>404 Not Found</html>", "", r#"{"ok":false}"#, r#"{"error":"Not Found"}"#, "null"]
        {
            for status in [400, 401, 403, 404, 407, 409] {
                assert!(matches!(failure_of(status, body), Failure::Server(_)), "{status} {body}");
            }
            assert_eq!(failure_of(429, body), Failure::RateLimited(None));
        }
        assert_eq!(failure_of(403, "<h1>Access denied</h1> Error code: 1020"), Failure::RateLimited(None));
        assert!(matches!(failure_of(302, ""), Failure::Server(_)));
        assert!(matches!(failure_of(200, r#"{"ok":true}"#), Failure::Unknown(_)));
        assert!(matches!(answer(200, b"\xff\xfe"), Err(Failure::Unknown(_))));
    }
}
