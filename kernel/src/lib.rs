//! The PRX kernel. It does the input and output; components decide.
//!
//! Modules in the order in which they may know each other: one knows those above it, and none below.

pub mod clock;
pub mod error;

pub mod config;
pub mod egress;
pub mod events;
pub mod logs;
pub mod store;

pub mod http;
pub mod mcp;
pub mod memory;
pub mod plugin;

pub mod tool;

pub mod channel;
pub mod session;
pub mod webhook;

pub mod kernel;

pub mod api;

pub mod cli;
