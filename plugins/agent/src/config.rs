//! The operator's settings of one agent.

use serde::Deserialize;

/// `[agents.<name>]`, with the manifest's defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    pub system_prompt: String,
    pub language: String,
    pub memories: u32,
    pub keep_messages: u32,
    /// In percent of the window.
    pub summarize_at: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            system_prompt: String::new(),
            language: "auto".into(),
            memories: 5,
            keep_messages: 20,
            summarize_at: 75,
        }
    }
}
