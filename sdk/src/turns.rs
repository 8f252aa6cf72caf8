//! Turns on behalf of whoever calls a route, for routes that speak another protocol; granted by `permissions.turns`. What the
//! caller's token is not good for (`sessions:write`) is denied.
//!
//! ```
//! use prx_sdk::route::{Fault, Request, Response, Route};
//! use prx_sdk::turns::{self, Input, Opening, Piece};
//! use prx_sdk::testing;
//!
//! /// Answers what is posted to it.
//! struct Ask;
//!
//! impl Route for Ask {
//!     fn handle(mut request: Request) -> Result<Response, Fault> {
//!         let said = String::from_utf8_lossy(&request.body.whole()?).into_owned();
//!         let mut turn = turns::start(&Opening::by("somebody"), &[Input::User((said, Vec::new()))])?;
//!         while let Some(piece) = turn.next() {
//!             match piece {
//!                 Piece::Done(finished) => return Ok(Response::text(finished.text)),
//!                 Piece::Failed(fault) => return Err(fault),
//!                 _ => {}
//!             }
//!         }
//!         Err(Fault::internal("the turn has no end"))
//!     }
//! }
//!
//! testing::answer_turns(|_| Ok(vec![testing::finished("Hello!")]));
//! assert_eq!(testing::route::<Ask>(Request::new("POST", "/").body("Hi")).text(), "Hello!");
//! ```

pub use crate::types::{Attachment, Fault};
pub use crate::wire::imports::common::{StopReason, ToolCall, ToolSpec};
pub use crate::wire::imports::turns::{Finished, Input, Opening, Piece};

use serde_json::{Map, Value};

#[cfg(not(target_family = "wasm"))]
use crate::testing::turns as gateway;
#[cfg(target_family = "wasm")]
use crate::wire::imports::turns as gateway;

/// A turn that is followed. Dropping it before its end cancels it.
pub struct Turn(gateway::Turn);

impl Turn {
    /// Waits for the next piece, [`Piece::Waiting`] after a quarter of a minute. None: it is over.
    #[expect(clippy::should_implement_trait, reason = "a turn is waited for, not looped over unawares")]
    pub fn next(&mut self) -> Option<Piece> {
        self.0.next()
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turn")
    }
}

impl Opening {
    /// A new session of this user, which ends with the turn; empty: of nobody in particular.
    pub fn by(user: impl Into<String>) -> Self {
        Self {
            session: None,
            key: None,
            user: user.into(),
            agent: None,
            model: None,
            instructions: String::new(),
            metadata: "{}".to_owned(),
        }
    }
}

/// Starts a turn. `input` is what is new, or the whole conversation; the last of it is of a person or a tool.
///
/// # Errors
/// `denied`: the caller may not. `bad-input`: what is wrong with it.
pub fn start(opening: &Opening, input: &[Input]) -> Result<Turn, Fault> {
    start_with(opening, input, &[], &Map::new())
}

/// The same with tools of the caller's own, a call of which ends the turn, and with options for the model, such as
/// `temperature`.
///
/// # Errors
/// As [`start`].
pub fn start_with(
    opening: &Opening,
    input: &[Input],
    tools: &[ToolSpec],
    options: &Map<String, Value>,
) -> Result<Turn, Fault> {
    let options = Value::Object(options.clone()).to_string();
    gateway::start(opening, input, tools, &options).map(Turn)
}

/// The names of the agents.
///
/// # Errors
/// `denied`: the caller may not know them.
pub fn agents() -> Result<Vec<String>, Fault> {
    gateway::agents()
}
