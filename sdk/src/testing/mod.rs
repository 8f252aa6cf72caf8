//! Tests without a gateway, without a network, without WebAssembly.
#![allow(clippy::expect_used, clippy::panic, reason = "a test harness fails by panicking")]

mod actions;
mod chance;
mod conversation;
mod filters;
#[cfg(feature = "http")]
mod http;
mod imports;
mod rendered;
#[cfg(feature = "route")]
mod route;
mod script;
#[cfg(test)]
mod tests;
#[cfg(feature = "route")]
pub(crate) mod turns;
mod waiting;

pub use actions::{observe, run_job};
pub use chance::Chance;
pub use conversation::{Answer, Conversation, Request};
pub use filters::{inspect, said, tool_use};
#[cfg(feature = "http")]
pub(crate) use http::send;
#[cfg(feature = "http")]
pub use http::serve;
pub(crate) use imports::{blobs, config, kv, log, memory, secrets, transcript};
pub use imports::{configure, give, made, set_secrets};
pub use rendered::rendered;
#[cfg(feature = "route")]
pub use route::{RouteAnswer, route};
pub use script::Script;
#[cfg(feature = "route")]
pub use turns::{BegunTurn, answer_turns, finished, set_agents};
pub use waiting::Waiting;
