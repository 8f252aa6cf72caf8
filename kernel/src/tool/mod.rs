//! Every tool there is, in one list, and one way to call it.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::info;

use crate::clock::stopwatch;
use crate::error::{Error, Result};
use crate::events::{Events, Kind};
use crate::mcp::{self, Mcp};
use crate::plugin::bindings::tool as wire;
use crate::plugin::{CallError, Plugins, Scope};

/// A tool as models and people are shown it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Tool")]
pub struct ToolSummary {
    /// The name it is called by.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// It changes nothing outside.
    pub read_only: bool,
    /// Where it comes from: `plugin:<name>` or `mcp:<server>`.
    pub source: String,
}

/// On whose behalf a tool is called.
#[derive(Debug, Clone, Default)]
pub struct CallContext {
    /// The session, where there is one.
    pub session: Option<String>,
    /// The call's own id, where the provider gave one.
    pub call: String,
    /// The user the session belongs to.
    pub user: Option<String>,
    /// What it may see of the conversation.
    pub scope: Scope,
}

/// What a tool said.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ToolResult {
    /// Its answer, or what went wrong.
    pub content: String,
    /// The answer as JSON, where it has structure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structured: Option<Value>,
    /// The tool could not do it; `content` says why.
    pub is_error: bool,
}

impl ToolResult {
    /// A result that says why there is none.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { content: reason.into(), structured: None, is_error: true }
    }
}

/// A cheap-clone handle to all tools.
#[derive(Clone)]
pub struct Tools {
    plugins: Plugins,
    mcp: Mcp,
    events: Events,
}

impl Tools {
    /// Tools of these plugins and servers; each call is told to `events`.
    pub fn new(plugins: Plugins, mcp: Mcp, events: Events) -> Self {
        Self { plugins, mcp, events }
    }

    /// Every tool that can be called now, by name.
    pub fn list(&self) -> Vec<ToolSummary> {
        let mut tools: Vec<ToolSummary> = self.plugins.tools().into_iter().map(summary).collect();
        tools.extend(self.mcp.tools().into_iter().map(ToolSummary::from));
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        // A server's tool does not take the place of a plugin's of the same name, which sorts before it.
        tools.dedup_by(|later, earlier| later.name == earlier.name);
        tools
    }

    /// Calls a tool with a JSON object that fits its parameters.
    ///
    /// # Errors
    /// There is no such tool, the arguments are no object, or the component broke. That the tool could not do it is
    /// an answer, with `is_error` set.
    pub async fn call(&self, name: &str, arguments: &Value, context: CallContext) -> Result<ToolResult> {
        let Value::Object(fields) = arguments else {
            return Err(Error::bad_request("arguments takes a JSON object that fits the tool's parameters"));
        };
        let started = stopwatch();
        let session = context.session.clone();
        let CallContext { session: of, call, user, scope } = context;
        let context = wire::CallContext { session: of, call, user };
        let text = arguments.to_string();
        let outcome = match self.plugins.call_tool(name, &text, &context, scope).await {
            Ok(output) => Ok(ToolResult {
                content: output.text,
                structured: output.structured.and_then(|json| serde_json::from_str(&json).ok()),
                is_error: false,
            }),
            Err(CallError::NoSuch(_)) => match self.mcp.call(name, fields.clone()).await {
                Some(mcp::Outcome { text, structured, is_error }) => {
                    Ok(ToolResult { content: text, structured, is_error })
                }
                None => return Err(Error::not_found("Tool", name)),
            },
            Err(CallError::Fault(fault)) => Ok(ToolResult::failed(fault.message)),
            Err(failure) => Err(failure.into_error(&self.plugin_of(name))),
        };
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let is_error = outcome.as_ref().map_or(true, |result| result.is_error);
        info!(tool = name, duration_ms, is_error, session_id = session, "tool call completed");
        let data =
            json!({ "tool": name, "session_id": session, "duration_ms": duration_ms, "is_error": is_error });
        self.events.publish(Kind::ToolExecuted, data);
        outcome
    }

    fn plugin_of(&self, tool: &str) -> String {
        let giver = self.plugins.tools().into_iter().find(|entry| entry.info.name == tool);
        giver.map_or_else(|| tool.to_owned(), |entry| entry.plugin)
    }
}

impl From<mcp::Tool> for ToolSummary {
    fn from(tool: mcp::Tool) -> Self {
        let mcp::Tool { name, server, description, parameters, read_only } = tool;
        Self { name, description, parameters, read_only, source: format!("mcp:{server}") }
    }
}

fn summary(entry: crate::plugin::ToolEntry) -> ToolSummary {
    ToolSummary {
        name: entry.info.name,
        description: entry.info.description,
        parameters: serde_json::from_str(&entry.info.parameters)
            .unwrap_or_else(|_| json!({ "type": "object" })),
        read_only: entry.info.read_only,
        source: format!("plugin:{}", entry.plugin),
    }
}
