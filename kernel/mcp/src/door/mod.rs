//! The gateway as an MCP server: what the protocol wants beside single requests. Nothing is kept of a client: its session
//! is an id that says what it can do, and counts for as long as the client sends it, over restarts of the gateway.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use self::message::{Message, Refusal, Request};
pub use self::questions::{Answer, Ask, Pending, Questions};

mod message;
mod questions;

/// Ends the id of a session whose client can put a question to a person.
const ELICITS: &str = ".e";

/// A cheap-clone handle to what is under way.
#[derive(Debug, Clone, Default)]
pub struct Door(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Requests that are being answered: as many as there are connections. Two with the same key come from clients who
    /// don't tell themselves apart. The lock is never held across an await.
    running: Mutex<BTreeMap<RunningKey, Vec<CancellationToken>>>,
    questions: Questions,
}

type RunningKey = (Client, String);

/// Whose messages belong together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    /// Who has the token.
    pub caller: String,
    /// The session that it says, if it does.
    pub session: Option<String>,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub struct Running {
    door: Door,
    key: RunningKey,
    token: CancellationToken,
}

impl Client {
    /// The id of a new session, with something random in it. `initialize`: the parameters that it is opened with.
    pub fn new_session(random: u128, initialize: &Value) -> String {
        let elicits = if can_elicit(&initialize["capabilities"]) { ELICITS } else { "" };
        format!("mcp_{random:032x}{elicits}")
    }

    /// Whether it said that it can put a question to a person.
    pub fn elicits(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.ends_with(ELICITS))
    }
}

/// Whether a client with these capabilities can put a question to a person: `elicitation` alone means with a form.
pub fn can_elicit(capabilities: &Value) -> bool {
    match &capabilities["elicitation"] {
        Value::Object(modes) => modes.is_empty() || modes.contains_key("form") || !modes.contains_key("url"),
        _ => false,
    }
}

impl Door {
    /// Notes that a request is being answered. It ends, and is cancelled, with what this returns.
    pub fn begin(&self, client: &Client, id: &Value) -> Running {
        let running = Running {
            door: self.clone(),
            key: (client.clone(), id.to_string()),
            token: CancellationToken::new(),
        };
        self.running().entry(running.key.clone()).or_default().push(running.token.clone());
        running
    }

    /// Cancels the request of this id, as its client wants. One that could be another client's goes on: to lose its work
    /// would be worse than to do what nobody waits for.
    pub fn cancel(&self, client: &Client, id: &Value) {
        if let Some([one]) = self.running().get(&(client.clone(), id.to_string())).map(Vec::as_slice) {
            one.cancel();
        }
    }

    /// Questions that clients are to put to a person.
    pub fn questions(&self) -> &Questions {
        &self.0.questions
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<RunningKey, Vec<CancellationToken>>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Cancelled when nobody waits for the answer any more.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.token.cancel();
        let mut running = self.door.running();
        if let Some(same) = running.get_mut(&self.key) {
            // Its own is cancelled by now; another one that is has no more to wait for.
            same.retain(|token| !token.is_cancelled());
            if same.is_empty() {
                running.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client(caller: &str, session: Option<&str>) -> Client {
        Client { caller: caller.into(), session: session.map(Into::into) }
    }

    #[test]
    fn a_request_is_cancelled_by_its_client_alone() {
        let door = Door::default();
        let (ada, bob) = (client("ada", None), client("bob", None));
        let call = door.begin(&ada, &json!(1));
        for (client, id) in [(&bob, json!(1)), (&ada, json!(2)), (&ada, json!("1"))] {
            door.cancel(client, &id);
        }
        door.cancel(&client("ada", Some("s")), &json!(1));
        assert!(!call.token().is_cancelled());
        let same = door.begin(&ada, &json!(1));
        door.cancel(&ada, &json!(1));
        assert!(!call.token().is_cancelled() && !same.token().is_cancelled(), "nobody knows whose it is");
        drop(same);
        door.cancel(&ada, &json!(1));
        assert!(call.token().is_cancelled());
        drop(call);
        assert!(door.running().is_empty());
    }

    #[test]
    fn a_session_says_what_its_client_can_do() {
        for (capabilities, elicits) in [
            (json!({"elicitation": {}}), true),
            (json!({"elicitation": {"form": {}}}), true),
            (json!({"elicitation": {"form": {}, "url": {}}}), true),
            (json!({"elicitation": {"url": {}}}), false),
            (json!({"elicitation": null}), false),
            (json!({"sampling": {}}), false),
            (json!(null), false),
        ] {
            let session = Client::new_session(7, &json!({"capabilities": capabilities}));
            assert!(session.bytes().all(|byte| byte.is_ascii_graphic()), "{session}");
            assert_eq!(client("ada", Some(&session)).elicits(), elicits, "{capabilities}");
        }
        assert!(!client("ada", None).elicits());
    }
}
