//! Every tool there is, of plugins and of MCP servers, and one way to call it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{error, info, warn};

pub(crate) use self::catalog::Catalog;
pub(crate) use self::catalog::Tool;
pub use self::catalog::schema_problem;
use self::catalog::{Definition, Revision, Source};
pub use self::names::Names;
pub(crate) use self::offer::Room;
use prx_base::Base;
use prx_base::clock::stopwatch;
use prx_base::config::Policy;
use prx_base::error::{Code, Error, Result};
use prx_base::events::{Kind, NewEvent};
use prx_base::traces::{self, Span, TraceContext};
use prx_host::bindings::tool as wire;
use prx_host::{CallError, Filters, Makes, Plugins, Scope};
use prx_mcp::{Caller, Mcp, Person};
use prx_store::{Attachment, BlobLimits, Store};

mod catalog;
mod filtered;
mod names;
mod offer;
mod schema;

/// Most bytes of a call's arguments, as JSON.
const MAX_ARGUMENT_BYTES: usize = 1 << 20;
/// How soon what is compiled of tools that are gone is let go of, at the latest.
const KEEP_UP_INTERVAL: Duration = Duration::from_secs(5);

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
    /// What a model may do with it.
    pub policy: Policy,
    /// Why nobody can call it, or why no model is told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
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
    /// The agent that wants it called.
    pub agent: Option<String>,
    /// The channel to which the files belong that it makes; none: no channel sends them.
    pub channel: String,
    /// What it may see of the conversation.
    pub scope: Scope,
    /// Who is asked what an MCP server wants to know meanwhile; none: nobody.
    pub person: Option<Person>,
    /// What it is part of in a trace.
    pub trace: Option<TraceContext>,
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
    /// Files for the person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

impl ToolResult {
    /// A result that says why there is none.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { content: reason.into(), structured: None, is_error: true, attachments: Vec::new() }
    }

    /// No more of it than so many bytes, and a note where something is missing.
    fn cut_to(mut self, most: usize) -> Self {
        self.content = cut(self.content, most);
        self.structured = self.structured.filter(|structured| structured.to_string().len() <= most);
        self
    }
}

/// No more of what a model is shown than so many bytes, and a note where something is missing.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    let whole = text.len();
    if whole > most {
        text.truncate(text.floor_char_boundary(most));
        let kept = text.len();
        text.push_str(&format!("\n[cut off: the first {kept} of {whole} bytes]"));
    }
    text
}

/// A tool that was called.
pub(crate) struct Executed {
    /// What it said, or why it said nothing.
    pub(crate) outcome: Result<ToolResult>,
    /// To be recorded.
    pub(crate) event: NewEvent,
}

/// A cheap-clone handle to all tools.
#[derive(Clone)]
pub struct Tools {
    base: Base,
    plugins: Plugins,
    mcp: Mcp,
    store: Store,
    filters: Filters,
    /// The newest catalog.
    catalog: Arc<ArcSwap<Catalog>>,
    /// Held while the next one is built.
    building: Arc<tokio::sync::Mutex<()>>,
}

impl Tools {
    /// The tools of these plugins and servers; that one was called is an event in the store. What is compiled of tools
    /// that are gone is let go of soon, also where nobody asks.
    pub fn new(base: Base, store: Store, plugins: Plugins, mcp: Mcp, filters: Filters) -> Self {
        let (catalog, building) = (Arc::default(), Arc::default());
        let tools = Self { base, plugins, mcp, store, filters, catalog, building };
        tokio::spawn(tools.clone().keep_up());
        tools
    }

    async fn keep_up(self) {
        loop {
            self.base.clock.sleep(KEEP_UP_INTERVAL).await;
            self.catalog().await;
        }
    }

    /// Ends when each MCP server was tried once, so that the tools are known that a start can find; at the latest after
    /// `timeout`.
    pub async fn settled(&self, timeout: Duration) {
        self.mcp.settled(timeout).await;
    }

    /// Every tool there is now, by name, and those without one after them.
    pub async fn list(&self) -> Vec<ToolSummary> {
        let (config, catalog) = (self.base.config.current(), self.catalog().await);
        let policy = |tool: &Tool| config.tools.policy_of(tool.name());
        let told = catalog.tools().filter(|tool| policy(tool) != Policy::Deny && tool.problem().is_none());
        let left_out = Room::of(config.agent.max_context_tokens).left_out(told);
        let named = catalog.tools().map(|tool| summary(tool, policy(tool), left_out.problem(tool.name())));
        named.chain(catalog.nameless().map(|tool| summary(tool, policy(tool), None))).collect()
    }

    /// What models and MCP clients call the tools there are now.
    pub async fn names(&self) -> Arc<Names> {
        self.catalog().await.names().clone()
    }

    /// The tools there are now. Costs nothing unless they have changed since it was asked for.
    pub(crate) async fn catalog(&self) -> Arc<Catalog> {
        let is_new = |catalog: &Catalog| catalog.revision() == Revision::of(&self.plugins, &self.mcp);
        let newest = self.catalog.load_full();
        if is_new(&newest) {
            return newest;
        }
        let _building = self.building.lock().await;
        let newest = self.catalog.load_full();
        if is_new(&newest) {
            return newest;
        }
        let (plugins, mcp, before) = (self.plugins.clone(), self.mcp.clone(), newest.clone());
        let build = move || Catalog::build(Revision::of(&plugins, &mcp), &before, &plugins, &mcp);
        match schema::apart(build).await {
            Ok(built) => {
                let built = Arc::new(built);
                self.catalog.store(built.clone());
                built
            }
            Err(error) => {
                error!(cause = ?std::error::Error::source(&error), "the tools there are now can't be read; those before go on");
                newest
            }
        }
    }

    /// Checks a call against the policy for the tool and against its parameters.
    ///
    /// # Errors
    /// There is no such tool, it can't be called, its policy is `deny`, or the arguments don't fit; says which, where,
    /// and what would do.
    pub async fn check(&self, name: &str, arguments: &Value) -> Result<()> {
        self.checked(name, arguments).await.map(drop)
    }

    async fn checked(&self, name: &str, arguments: &Value) -> Result<Arc<Tool>> {
        if self.base.config.current().tools.policy_of(name) == Policy::Deny {
            let message = format!("The operator does not allow the tool {name}; see tools.policy");
            return Err(Error::new(Code::Forbidden, message));
        }
        if !arguments.is_object() {
            return Err(Error::bad_request("arguments takes a JSON object that fits the tool's parameters"));
        }
        let catalog = self.catalog().await;
        let tool = catalog.tool(name).ok_or_else(|| Error::not_found("Tool", name))?;
        if let Some(problem) = tool.problem() {
            let message =
                format!("The tool {name} of {} can't be called: {problem}", tool.definition().source);
            return Err(Error::new(Code::BadGateway, message));
        }
        let bytes = arguments.to_string().len();
        if bytes > MAX_ARGUMENT_BYTES {
            let message =
                format!("The arguments have {bytes} bytes; a tool takes {MAX_ARGUMENT_BYTES} at most");
            return Err(Error::bad_request(message));
        }
        match tool.schema().violations(arguments).await? {
            None => Ok(tool.clone()),
            Some(wrong) => {
                Err(Error::bad_request(format!("The arguments don't fit the tool {name}: {wrong}")))
            }
        }
    }

    /// What looks at what flows.
    pub(crate) fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Calls a tool with a JSON object that fits its parameters, if filters let that pass. It may take `tools.timeout_secs`,
    /// and of what it says `tools.max_result_bytes` are kept.
    ///
    /// # Errors
    /// As for [`Tools::check`], or a filter stops it, or the component broke or took too long. That the tool could not do it
    /// is an answer, with `is_error` set.
    pub async fn call(&self, name: &str, mut arguments: Value, context: CallContext) -> Result<ToolResult> {
        self.pass(name, &mut arguments, &context).await?;
        self.call_passed(name, &arguments, context).await
    }

    /// Calls a tool as [`Tools::call`] does, with what has [passed](Tools::pass) the filters.
    ///
    /// # Errors
    /// The same.
    pub async fn call_passed(
        &self,
        name: &str,
        arguments: &Value,
        context: CallContext,
    ) -> Result<ToolResult> {
        let Executed { outcome, event } = self.execute(name, arguments, context).await?;
        if let Err(error) = self.store.record_event(event).await {
            warn!(tool = name, %error, "hooks are not told of this tool call");
        }
        outcome
    }

    /// Calls a tool as [`Tools::call`] does, and leaves it to the caller to record that it was called.
    ///
    /// # Errors
    /// As for [`Tools::check`]: it was not called.
    pub(crate) async fn execute(
        &self,
        name: &str,
        arguments: &Value,
        mut context: CallContext,
    ) -> Result<Executed> {
        let tool = self.checked(name, arguments).await?;
        let config = self.base.config.current();
        let source = tool.definition().source.to_string();
        let mut span = self.span(&tool, &source, context.trace);
        context.trace = span.context().filter(|_| config.telemetry.propagate);
        let limit = Duration::from_secs(config.tools.timeout_secs);
        let started = stopwatch();
        let session = context.session.clone();
        let filtered = self.result_filter(name, arguments, &context);
        let called = match tool.definition().source {
            Source::Plugin(_) => timeout(limit, self.dispatch(&tool, arguments, context)).await,
            // It has a limit of its own, which progress renews.
            Source::Mcp { .. } => Ok(self.dispatch(&tool, arguments, context).await),
        };
        let outcome = called.unwrap_or_else(|_| {
            let message = format!("The tool {name} did not answer within {limit:?} (tools.timeout_secs)");
            Err(Error::new(Code::GatewayTimeout, message))
        });
        let outcome = match (filtered, outcome) {
            (Some(call), Ok(result)) => Ok(self.read(call, result).await),
            (_, outcome) => outcome,
        };
        let outcome = outcome.map(|result| result.cut_to(config.tools.max_result_bytes));
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let is_error = outcome.as_ref().map_or(true, |result| result.is_error);
        self.base.meter.tools_of(&source).ended(started.elapsed(), is_error);
        match &outcome {
            Ok(result) if !result.is_error => {}
            Ok(_) => span.fail("tool_error"),
            Err(error) => span.fail(error.code().as_str()),
        }
        drop(span);
        info!(tool = name, duration_ms, is_error, session_id = session, "tool call completed");
        let data =
            json!({ "tool": name, "session_id": session, "duration_ms": duration_ms, "is_error": is_error });
        Ok(Executed { outcome, event: NewEvent { kind: Kind::ToolExecuted, data } })
    }

    /// The span of a call.
    fn span(&self, tool: &Tool, source: &str, parent: Option<TraceContext>) -> Span {
        let name = || format!("execute_tool {}", tool.name());
        let mut span = self.base.traces.within(parent, traces::Kind::Internal, name);
        span.set("gen_ai.operation.name", "execute_tool");
        span.set("gen_ai.tool.name", tool.name());
        span.set("prx.tool.source", source);
        span
    }

    async fn dispatch(&self, tool: &Tool, arguments: &Value, context: CallContext) -> Result<ToolResult> {
        match &tool.definition().source {
            Source::Plugin(plugin) => self.call_plugin(plugin, tool.name(), arguments, context).await,
            Source::Mcp { server, tool } => self.call_server(server, tool, arguments, context).await,
        }
    }

    async fn call_plugin(
        &self,
        plugin: &str,
        name: &str,
        arguments: &Value,
        context: CallContext,
    ) -> Result<ToolResult> {
        let limits = self.blob_limits();
        let CallContext { session, call, user, channel, mut scope, trace, .. } = context;
        let context = wire::CallContext { session, call, user };
        scope.trace = trace;
        scope.makes = Some(Makes { channel, limits });
        match self.plugins.call_tool(name, &arguments.to_string(), &context, scope).await {
            Ok(output) => Ok(ToolResult {
                content: output.text,
                structured: output.structured.and_then(|json| serde_json::from_str(&json).ok()),
                is_error: false,
                attachments: output.attachments.into_iter().map(Into::into).collect(),
            }),
            // It went between the look and the call.
            Err(CallError::NoSuch(_)) => Err(Error::not_found("Tool", name)),
            Err(CallError::Fault(fault)) => Ok(ToolResult::failed(fault.message)),
            Err(failure) => Err(failure.into_error(plugin)),
        }
    }

    async fn call_server(
        &self,
        server: &str,
        tool: &str,
        arguments: &Value,
        context: CallContext,
    ) -> Result<ToolResult> {
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let CallContext { channel, person, trace, .. } = context;
        let caller = Caller { channel: &channel, limits: self.blob_limits(), person, trace };
        match self.mcp.call(server, tool, arguments, caller).await {
            Some(prx_mcp::Outcome { text, structured, is_error, attachments }) => {
                Ok(ToolResult { content: text, structured, is_error, attachments })
            }
            // It went between the look and the call.
            None => Err(Error::not_found("Tool", &format!("{server}.{tool}"))),
        }
    }

    fn blob_limits(&self) -> BlobLimits {
        BlobLimits::from(&self.base.config.current().store)
    }
}

/// A tool as it is listed, with what the operator says about it.
fn summary(tool: &Tool, policy: Policy, left_out: Option<String>) -> ToolSummary {
    let Definition { name, description, parameters, read_only, source, .. } = tool.definition();
    ToolSummary {
        name: name.clone(),
        description: description.clone(),
        parameters: parameters.clone(),
        read_only: *read_only,
        source: source.to_string(),
        policy,
        problem: tool.problem().map(str::to_owned).or(left_out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_result_is_cut_between_two_characters() {
        let long = ToolResult {
            content: "aé".repeat(300),
            structured: Some(json!("x".repeat(300))),
            is_error: false,
            attachments: Vec::new(),
        };
        let cut = long.clone().cut_to(256);
        assert_eq!(
            cut.content,
            format!("{}\n[cut off: the first 256 of 900 bytes]", &"aé".repeat(300)[..256])
        );
        assert_eq!(cut.structured, None);
        assert_eq!(long.clone().cut_to(257).content.find('\n'), Some(256));
        assert_eq!(long.clone().cut_to(900), long);
    }
}
