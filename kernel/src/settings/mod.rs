//! The configuration while the gateway runs: shown, changed over the API or by an edit of its file, and applied.

pub(crate) use self::check::{AtStart, at_start, problems, providers};
pub(crate) use self::redact::redacted_on_disk;
pub(crate) use self::state::Dependents;
pub use self::state::{Settings, Updated};

pub(crate) mod agents;
mod check;
mod follow;
pub(crate) mod keys;
mod redact;
mod rights;
mod secrecy;
mod state;
