//! The gateway's frames: what comes, and what is sent.

use prx_sdk::connector::Segments;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::session::Session;

pub(crate) const DISPATCH: u64 = 0;
pub(crate) const HEARTBEAT: u64 = 1;
pub(crate) const RECONNECT: u64 = 7;
pub(crate) const INVALID_SESSION: u64 = 9;
pub(crate) const HELLO: u64 = 10;
pub(crate) const ACKNOWLEDGED: u64 = 11;

/// Messages in servers, messages to the bot alone, and what they say.
const INTENTS: u64 = 1 << 9 | 1 << 12 | 1 << 15;

/// Any frame. Only `op` has to make sense for it to be one.
#[derive(Deserialize)]
pub(crate) struct Frame<'a> {
    pub op: u64,
    #[serde(borrow)]
    pub d: Option<&'a RawValue>,
    #[serde(borrow)]
    s: Option<&'a RawValue>,
    #[serde(borrow)]
    t: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    pub(crate) fn read(text: &'a str) -> Option<Frame<'a>> {
        serde_json::from_str(text).ok()
    }

    /// The frame's data, if it has this shape.
    pub(crate) fn data<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_str(self.d?.get()).ok()
    }

    /// The frame's data as it came.
    pub(crate) fn raw(&self) -> &'a str {
        self.d.map_or("", RawValue::get)
    }

    /// Its number in the session.
    pub(crate) fn sequence(&self) -> Option<u64> {
        serde_json::from_str(self.s?.get()).ok()
    }

    /// What a dispatched event is called.
    pub(crate) fn event(&self) -> Option<&'a str> {
        serde_json::from_str(self.t?.get()).ok()
    }
}

#[derive(Deserialize)]
pub(crate) struct Hello {
    pub heartbeat_interval: u32,
}

/// How a session begins.
#[derive(Deserialize)]
pub(crate) struct Ready {
    pub session_id: String,
    #[serde(default)]
    pub resume_gateway_url: String,
    pub user: Bot,
    #[serde(default)]
    pub application: Application,
}

#[derive(Deserialize)]
pub(crate) struct Bot {
    pub id: String,
    #[serde(default)]
    pub username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Application {
    pub id: String,
}

/// Begins a new session. The token is put in by the kernel.
pub(crate) fn identify() -> Segments {
    let rest = json!({
        "intents": INTENTS,
        "properties": {"os": "linux", "browser": "prx", "device": "prx"},
    });
    with_token(2, &rest.to_string())
}

/// Takes a session up again behind what was last seen of it.
pub(crate) fn resume(session: &Session) -> Segments {
    with_token(6, &json!({"session_id": session.id, "seq": session.sequence}).to_string())
}

/// Shows that the connection lives; names what was seen last.
pub(crate) fn heartbeat(session: Option<&Session>) -> Segments {
    let sequence = session.map(|session| session.sequence);
    Segments::text(json!({"op": HEARTBEAT, "d": sequence}).to_string())
}

/// `rest` is a JSON object that is not empty.
fn with_token(op: u8, rest: &str) -> Segments {
    let begin = format!(r#"{{"op":{op},"d":{{"token":""#);
    let end = rest.strip_prefix('{').unwrap_or(rest);
    Segments::text(begin).secret("bot_token").then(format!(r#"",{end}}}"#))
}
