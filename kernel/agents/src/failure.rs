//! Why a turn fails, and whether another attempt may help.

use prx_base::error::{Code, Error};
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

/// A turn whose session was terminated before the reply was there.
pub(super) fn session_terminated(session: &str) -> Error {
    Error::new(Code::Conflict, format!("Session {session} was terminated before the reply was there"))
}
