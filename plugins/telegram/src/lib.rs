//! Connector for the Telegram Bot API: one bot, its users' messages in and the agent's replies out.
//!
//! `poll` keeps one long poll open, or a `webhook` set. `receive` turns updates into messages, `classify` decides which of
//! them are for the agent, `shown` what they show, `pending` and `media` fetch their files, `ask` takes pressed buttons, `menu` offers commands. `send` carries out the
//! agent's operations (`op`, `speech`, with Markdown as `html`, or as a `rich` message) at the pace that chats take (`pace`). `state` is all that outlives a restart.

mod api;
mod ask;
mod call;
mod classify;
mod config;
mod connector;
mod html;
mod media;
mod menu;
mod migrate;
mod op;
mod pace;
mod pending;
mod poll;
mod quotes;
mod receive;
mod rich;
mod send;
mod shown;
mod speech;
mod stage;
mod state;
mod text;
mod update;
mod webhook;

#[cfg(test)]
mod tests;

pub use connector::Telegram;

prx_sdk::plugin! { connector: Telegram, manifest: "plugin.toml" }
