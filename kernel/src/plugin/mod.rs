//! Components: compiled once, linked to what they are granted and to nothing else, called within limits.

pub mod bindings;

mod cache;
mod call;
mod code;
mod connector;
mod engine;
mod host;
mod instance;
mod limits;
mod links;

pub use self::call::CallError;
pub use self::code::{Code, Description};
pub use self::connector::Connector;
pub use self::engine::{Artifact, CompileError, Engine, Services};
pub use self::host::log::{Journal, Level};
pub use self::limits::{Limits, MAX_MEMORY_BYTES};
pub use self::links::{LinkError, Links};

#[cfg(test)]
mod tests;
