//! Connector for the Telegram Bot API: one bot, long-polled, its text messages in and the agent's replies out.
//!
//! `poll` keeps one request for updates open, `receive` makes messages of what it brings, `send` carries out what the
//! agent wants done; `state` is all that outlives a restart.

mod api;
mod call;
mod config;
mod connector;
mod html;
mod op;
mod poll;
mod receive;
mod send;
mod state;
mod text;

#[cfg(test)]
mod tests;

pub use connector::Telegram;

prx_sdk::plugin! { connector: Telegram, manifest: "plugin.toml" }
