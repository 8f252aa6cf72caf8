//! What is wrong and should not be, with what mends it: found where it is known, and told by the status, the command line
//! and the doctor in the same words.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Issue {
    /// What it is about.
    pub kind: IssueKind,
    /// What is wrong, in words.
    pub problem: String,
    /// What mends it.
    pub fix: String,
}

/// What an issue is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IssueKind {
    /// The disk, or the store on it.
    Store,
    /// The TLS certificate that clients are shown.
    Certificate,
    /// The configuration's file.
    Configuration,
    /// A model provider.
    Provider,
    /// What a day may cost.
    Budget,
    /// A plugin.
    Plugin,
    /// An agent that can't answer as it is configured.
    Agent,
    /// A channel's connection.
    Channel,
    /// A hook, or its receiver.
    Hook,
    /// An MCP server.
    McpServer,
    /// A tool that is left out.
    Tool,
    /// A skill that is left out.
    Skill,
    /// A plugin's job.
    Job,
    /// A plugin's observer.
    Observer,
    /// A filter.
    Filter,
}

impl Issue {
    /// An issue of a kind: what is wrong, and what mends it.
    pub fn new(kind: IssueKind, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { kind, problem: problem.into(), fix: fix.into() }
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.fix)
    }
}
