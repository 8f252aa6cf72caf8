//! Connector for Discord: one bot, its messages in over the gateway's WebSocket, the agent's replies out over REST.
//!
//! `gateway` keeps one connection open and its session alive, with the heartbeats that `protocol` sets up. `receive` and
//! `interact` turn events into messages (`roles`, `shown`), `pending` fetches their files. `send` carries out the agent's operations (`op`,
//! `upload`) within the rate limits (`pace`, `budget`, `shut_out`). `state` is all that outlives a restart.

mod anomalies;
mod api;
mod budget;
mod call;
mod close;
mod command;
mod config;
mod connector;
mod frame;
mod gateway;
mod interact;
mod link;
mod menu;
mod message;
mod op;
mod pace;
mod pending;
mod protocol;
mod quotes;
mod receive;
mod roles;
mod send;
mod session;
mod shown;
mod shut_out;
mod starters;
mod state;
mod upload;
mod webhook;

#[cfg(test)]
mod tests;

pub use connector::Discord;

prx_sdk::plugin! { connector: Discord, manifest: "plugin.toml" }
