//! What tells one vendor's API from another's.

use hyper::HeaderMap;
use serde_json::Value;

use super::{anthropic, openai, responses};

/// A tool call: id, name, arguments.
pub type Call<'a> = (&'a str, &'a str, Value);

/// A vendor's API.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The plugin that speaks it.
    pub provider: &'static str,
    /// A model that the vendor has.
    pub model: &'static str,
    /// What comes after the server's address in `base_url`.
    pub(super) base: &'static str,
    /// What else has to be set for its provider.
    pub(super) settings: &'static str,
    /// The field of a request that has the conversation.
    pub conversation: &'static str,
    /// Where requests go.
    pub(super) path: &'static str,
    /// The header that carries the key, and its value.
    pub(super) key: fn() -> (&'static str, String),
    /// A request that says this.
    pub(super) ask: fn(&str) -> Value,
    /// What a request does that the vendor forbids.
    pub(super) check: fn(&HeaderMap, &Value) -> Result<(), String>,
    /// What the user, or the last tool, said last.
    pub said_last: fn(&Value) -> String,
    /// The body of a refusal.
    pub refusal: fn(&str) -> String,
    /// The events of an answer in these words.
    pub words: fn(&[&str]) -> Vec<String>,
    /// The events of an answer that calls these tools.
    pub calls: fn(&[Call<'_>]) -> Vec<String>,
    /// An event that ends an answer with an error, said to be one that passes.
    pub overloaded: fn() -> String,
}

impl Dialect {
    /// Anthropic's Messages API.
    pub const ANTHROPIC: Self = anthropic::DIALECT;
    /// OpenAI's chat completions.
    pub const OPENAI: Self = openai::DIALECT;
    /// OpenAI's Responses API, of the same plugin.
    pub const RESPONSES: Self = responses::DIALECT;
    /// One for each plugin.
    pub const ALL: [Self; 2] = [Self::ANTHROPIC, Self::OPENAI];
}
