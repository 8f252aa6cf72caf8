//! Write plugins for PRX: a trait a capability, one macro, and a harness that replays transcripts.
//!
//! A plugin is a crate of type `cdylib` with a `plugin.toml` beside its `Cargo.toml`. It implements a trait or several,
//! and says so with [`plugin!`]; `cargo build --target wasm32-wasip2` then yields the one file that the gateway loads.
//!
//! | to write | implement | it may use |
//! |---|---|---|
//! | a connector for a platform | [`connector::Connector`] | its arguments, and nothing else; [`text`], [`markdown`], [`upload`], [`pending`], [`operations`], [`cooldown`] and [`heard`] help it with long texts, with files, with retries and with edits |
//! | tools | [`tool::TypedTool`], [`tool::Tool`] | [`log`], [`config`], [`kv`], [`blobs`], [`memory`], [`http`] |
//! | an agent | [`agent::Agent`] | its arguments, [`log`], [`config`], [`transcript`] |
//! | what looks at what flows | [`filter::Filter`] | [`log`], [`config`], [`kv`], [`blobs`], [`http`] |
//! | what is told what happens | [`observer::Observer`] | [`log`], [`config`], [`kv`], [`http`] |
//! | what happens at set times | [`job::Job`] | [`log`], [`config`], [`kv`], [`http`] |
//! | routes over HTTP | [`route::Route`] | [`log`], [`config`], [`kv`], [`blobs`], [`http`], [`turns`] |
//! | skills | [`skill::Skill`] | [`log`], [`config`], [`kv`], [`blobs`], [`memory`] |
//! | a provider of models | [`provider::Provider`] | [`log`], [`config`], [`kv`], [`blobs`], [`memory`], [`sink`], [`http`], [`sse`], [`media`]; [`server`], [`json`], [`calls`], [`thinking`] and [`refusal`] help it with servers that each do it their way |
//!
//! Everything compiles away from WebAssembly too, where [`testing`] stands in for the gateway.

#[macro_use]
mod plugin;
pub mod action;
pub mod agent;
pub mod blobs;
#[cfg(feature = "http")]
pub mod calls;
mod commands;
pub mod config;
pub mod connector;
pub mod continued;
pub mod cooldown;
pub mod filter;
pub mod heard;
#[cfg(feature = "http")]
pub mod http;
pub mod job;
#[cfg(feature = "http")]
pub mod json;
pub mod kv;
#[cfg(feature = "http")]
pub mod learned;
pub mod log;
#[cfg(feature = "markdown")]
pub mod markdown;
#[cfg(feature = "http")]
pub mod media;
pub mod memory;
pub mod observer;
pub mod operations;
#[cfg(feature = "http")]
pub mod parts;
pub mod pending;
pub mod provider;
pub mod quotes;
mod random;
#[cfg(feature = "http")]
pub mod refusal;
#[cfg(feature = "route")]
pub mod route;
#[cfg(feature = "http")]
pub mod server;
pub mod sink;
pub mod skill;
#[cfg(feature = "http")]
pub mod sse;
mod stored;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
#[cfg(feature = "markdown")]
pub mod text;
#[cfg(feature = "http")]
pub mod thinking;
pub mod threads;
pub mod tool;
pub mod transcript;
#[cfg(feature = "route")]
pub mod turns;
pub mod types;
pub mod upload;
#[cfg(all(target_family = "wasm", feature = "route"))]
#[doc(hidden)]
pub use wasip2 as __wasip2;
#[doc(hidden)]
pub mod wire;
