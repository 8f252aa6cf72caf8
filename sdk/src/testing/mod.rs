//! Tests without a kernel, without a network, without WebAssembly.

#![allow(clippy::expect_used, clippy::panic, reason = "a test harness fails by panicking")]

mod script;

pub use script::Script;
