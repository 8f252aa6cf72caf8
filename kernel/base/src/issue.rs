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

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What an issue is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
        pub enum IssueKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl IssueKind {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The kind's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// The disk, or the store on it.
    Store = "store",
    /// The TLS certificate that clients are shown.
    Certificate = "certificate",
    /// The configuration's file.
    Configuration = "configuration",
    /// A model provider.
    Provider = "provider",
    /// What a day may cost.
    Budget = "budget",
    /// A plugin.
    Plugin = "plugin",
    /// An agent that can't answer as it is configured.
    Agent = "agent",
    /// A channel's connection.
    Channel = "channel",
    /// A hook, or its receiver.
    Hook = "hook",
    /// An MCP server.
    McpServer = "mcp_server",
    /// A tool that is left out.
    Tool = "tool",
    /// A skill that is left out.
    Skill = "skill",
    /// A plugin's job.
    Job = "job",
    /// A plugin's observer.
    Observer = "observer",
    /// A filter.
    Filter = "filter",
    /// The log's file.
    Logs = "logs",
    /// Traces that are sent to a collector.
    Telemetry = "telemetry",
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
