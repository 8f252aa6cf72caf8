//! Write plugins for PRX: a trait a capability, one macro, and a harness that replays transcripts.

#[macro_use]
mod plugin;
mod commands;
pub mod connector;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod types;
#[doc(hidden)]
pub mod wire;
