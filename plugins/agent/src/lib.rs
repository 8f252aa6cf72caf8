//! The agent that is always there: the operator's system prompt, skills by trigger, memories, tools in a loop, and
//! summaries of what no longer fits the model.
//!
//! `agent` takes the events of a turn, `turn` is what it remembers of it, `request` what a model is shown, `summary` what
//! becomes of the older part. `command` answers `/help` and the like, in `words` of the person's language.

mod agent;
mod carry;
mod command;
mod config;
mod descriptions;
mod request;
mod skills;
mod state;
mod summary;
mod words;

#[cfg(test)]
mod tests;

pub use agent::Assistant;

prx_sdk::plugin! { agent: Assistant, manifest: "plugin.toml" }
