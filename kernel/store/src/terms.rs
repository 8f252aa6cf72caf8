//! What whoever begins a turn for a program's caller wants of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What whoever begins a turn wants of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Said to the model behind the agent's own instructions.
    #[serde(default)]
    pub instructions: String,
    /// Tools that the caller runs: a call of one ends the turn.
    #[serde(default)]
    pub tools: Vec<CallerTool>,
    /// Options of requests to the model, where the agent sets none of the name.
    #[serde(default)]
    pub options: Map<String, Value>,
}

impl Terms {
    /// Whether the caller runs a tool of this name.
    pub fn has_tool(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool.name == name)
    }
}

/// A tool that the caller runs itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerTool {
    /// What the model calls it.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: String,
}
