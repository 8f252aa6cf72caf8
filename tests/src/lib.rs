//! End-to-end tests against the built gateway: its harness, the servers it talks to, and components to feed it.
//!
//! | module | holds |
//! |---|---|
//! | [`gateway`] | a real `prx serve` in a home of its own |
//! | [`client`] | HTTP in, JSON out |
//! | [`collector`] | a collector of traces |
//! | [`telegram`] | a fake Bot API server |
//! | [`discord`] | a fake Discord |
//! | [`mcp`] | MCP servers that answer as a test wrote |
//! | [`models`] | fake model servers that speak Anthropic's and OpenAI's APIs |
//! | [`oauth`] | an MCP server that wants a login, and who gives it |
//! | [`origin`] | a fake web service |
//! | [`system`] | any system that talks by webhooks |
//! | [`sockets`] | a WebSocket server whose side a test plays |
//! | [`receiver`] | somewhere webhooks are delivered to |
//! | [`page`] | the reference page of the API, read |
//! | [`component`] | plugin files, good ones and bad ones |
//! | [`wait`] | waiting for a condition |
//! | [`scale`] | how much of the same a test does |
//! | [`random`] | randomness from a printed seed |
//! | [`attacks`] | what an attack does to a gateway, in a table |
//! | [`terminal`] | a terminal that a program writes to |
//! | [`usage`] | what a process uses |
//! | [`scripted`] | gateways whose model says what a test wrote |
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a harness fails by panicking")]

pub mod attacks;
pub mod client;
pub mod collector;
pub mod component;
pub mod discord;
mod form;
pub mod gateway;
pub mod mcp;
pub mod models;
pub mod oauth;
pub mod origin;
pub mod page;
pub mod random;
pub mod receiver;
pub mod scale;
pub mod scripted;
pub mod sockets;
pub mod store;
pub mod system;
pub mod telegram;
pub mod terminal;
pub mod usage;
pub mod wait;

mod binary;
mod server;
