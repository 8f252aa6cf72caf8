//! Connector for the Telegram Bot API: one bot, its users' messages in and the agent's replies out.
//!
//! `poll` keeps one request for updates open, or a `webhook` set; `receive` makes messages of the updates, as far as
//! `judge` lets them in, and `parcel` fetches what they show. `send` carries out what the agent wants done, and `ask`
//! hears which button was pressed; `state` is all that outlives a restart.

mod api;
mod ask;
mod call;
mod config;
mod connector;
mod html;
mod judge;
mod letter;
mod migrate;
mod op;
mod parcel;
mod poll;
mod receive;
mod send;
mod speech;
mod state;
mod text;
mod update;
mod webhook;

#[cfg(test)]
mod tests;

pub use connector::Telegram;

prx_sdk::plugin! { connector: Telegram, manifest: "plugin.toml" }
