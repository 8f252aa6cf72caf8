//! Why a turn fails, and whether another attempt may help.

use prx_base::error::{Code, Error};
use serde_json::json;

use prx_store::{MAX_ATTEMPTS, NewMessage};

/// Why a turn did not come to its end.
pub(super) struct TurnFailure {
    /// What whoever waits for the reply is told.
    pub(super) error: Error,
    /// After how many attempts in all the turn is put aside.
    pub(super) max_attempts: u32,
    /// The provider does not take what it was asked.
    pub(super) refused: bool,
    /// What was said in the turn so far, for the conversation to keep.
    pub(super) said: Vec<NewMessage>,
}

impl TurnFailure {
    /// A failure that another attempt would only repeat, or that was retried often enough.
    pub(super) fn permanent(error: Error) -> Self {
        Self { error, max_attempts: 1, refused: false, said: Vec::new() }
    }
}

impl TurnFailure {
    /// Whether the agent is not there as it is configured.
    pub(super) fn is_agent_down(&self) -> bool {
        self.error.details().is_some_and(|details| details.get("agent").is_some())
    }
}

impl From<Error> for TurnFailure {
    fn from(error: Error) -> Self {
        let is_transient = matches!(error.code(), Code::Unavailable | Code::Internal);
        let max_attempts = if is_transient { MAX_ATTEMPTS } else { 1 };
        Self { max_attempts, ..Self::permanent(error) }
    }
}

/// What is told to whoever waits for a reply while the gateway stops.
pub fn stopping() -> Error {
    let message = "The gateway is stopping; the message is kept and answered after the next start";
    Error::new(Code::Unavailable, message)
}

/// An agent is not there as it is configured, which is the operator's to mend: the error names it in its details.
pub(super) fn agent_is_down(error: Error, agent: &str) -> Error {
    error.with_details(json!({ "agent": agent }))
}

/// A message to a session that has ended: it names the one that goes on from there.
pub(super) fn session_ended(session: &str, next: &str) -> Error {
    let message = format!("Session {session} is terminated; {next} goes on where it has ended");
    Error::conflict(message).with_details(json!({ "next_session": next }))
}

/// A turn whose session was terminated before the reply was there.
pub(super) fn session_terminated(session: &str) -> Error {
    Error::new(Code::Conflict, format!("Session {session} was terminated before the reply was there"))
}
