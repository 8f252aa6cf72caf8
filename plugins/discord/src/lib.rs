//! Connector for Discord: one bot, its messages in over the gateway's WebSocket, the agent's replies out over REST.
//!
//! `gateway` keeps one connection open and its session alive, `receive` and `interact` make messages of what it brings,
//! `parcel` waits for their files, `send` carries out what the agent wants done at the pace that `pace` allows, `upload`
//! with files of its own; `state` is all that outlives a restart.

mod api;
mod budget;
mod call;
mod close;
mod config;
mod connector;
mod frame;
mod gateway;
mod interact;
mod link;
mod message;
mod oddity;
mod op;
mod pace;
mod parcel;
mod protocol;
mod receive;
mod send;
mod session;
mod state;
mod upload;
mod webhook;

#[cfg(test)]
mod tests;

pub use connector::Discord;

prx_sdk::plugin! { connector: Discord, manifest: "plugin.toml" }
