//! The `observer` capability: is told what has happened, from the gateway's log of events.
//!
//! ```
//! use prx_sdk::observer::{Action, Fault, Happening, Observer};
//! use prx_sdk::{kv, testing};
//! use serde_json::json;
//!
//! /// Remembers the last session that was opened.
//! struct Last;
//!
//! impl Observer for Last {
//!     const KINDS: &[&str] = &["session.created"];
//!
//!     fn observe(happenings: Vec<Happening>) -> Result<Vec<Action>, Fault> {
//!         if let Some(happening) = happenings.last() {
//!             kv::set("last", happening.data.as_bytes())?;
//!         }
//!         Ok(Vec::new())
//!     }
//! }
//!
//! testing::observe::<Last>(&[("session.created", json!({"session_id": "sess_1"})), ("error.occurred", json!({}))]).unwrap();
//! assert_eq!(kv::get("last").unwrap().unwrap(), br#"{"session_id":"sess_1"}"#);
//! ```

pub use crate::action::{Action, Outgoing};
pub use crate::types::{Fault, UnixMs};
pub use crate::wire::observer::Happening;

use crate::wire::observer as wire;
use serde::de::DeserializeOwned;

/// What is told of what happens.
pub trait Observer {
    /// The kinds that it wants, `*` for any piece of a name; the manifest's `permissions.events.subscribe` has to name them.
    const KINDS: &[&str];

    /// Is told of what has happened, in order, and each at least once: after a restart, or a fault, some of it may come
    /// again, with the same numbers (`seq`).
    ///
    /// # Errors
    /// Why it could not do its work; the same comes again after a while, and nothing behind it before.
    fn observe(happenings: Vec<Happening>) -> Result<Vec<Action>, Fault>;
}

impl Happening {
    /// What it is about, as a type.
    ///
    /// # Errors
    /// `bad-input` when it is not of this shape.
    pub fn about<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_str(&self.data)
            .map_err(|error| Fault::bad_input(format!("event {} ({}): {error}", self.seq, self.kind)))
    }
}

impl<T: Observer> wire::Guest for T {
    fn kinds() -> Vec<String> {
        T::KINDS.iter().map(|kind| (*kind).to_owned()).collect()
    }

    fn observe(happenings: Vec<Happening>) -> Result<Vec<Action>, Fault> {
        T::observe(happenings)
    }
}
