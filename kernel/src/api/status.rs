//! Whether the gateway is well.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::gateway::Gateway;
use prx_base::error::Result;
use prx_base::issue::{Issue, IssueKind};
use prx_channels::State;
use prx_host::Status as PluginState;
use prx_http::{Call, Doc, Reply};
use prx_store::{HookProblem, Usage};

/// Most tools, and most skills, that are left out of which the status says why.
const MAX_LEFT_OUT: usize = 5;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Status")]
struct StatusView {
    status: &'static str,
    version: &'static str,
    uptime_secs: u64,
    active_sessions: usize,
    channels: Channels,
    plugins: Plugins,
    memory: Memory,
    provider: Provider,
    usage: UsageStatus,
    /// What is down and should not be, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    issues: Vec<String>,
    /// The same, with what mends it apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    issue_details: Vec<Issue>,
    /// Keys of the configuration whose change is only felt after a restart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    restart_due: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelsStatus")]
struct Channels {
    connected: usize,
    total: usize,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PluginsStatus")]
struct Plugins {
    loaded: usize,
    total: usize,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MemoryStatus")]
struct Memory {
    backend: String,
    entries: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProviderStatus")]
struct Provider {
    name: String,
    model: String,
}

/// What all sessions have cost since midnight, UTC, in tokens.
#[derive(Serialize, JsonSchema)]
struct UsageStatus {
    today: Usage,
    /// What a day may cost, where `agent.max_tokens_per_day` bounds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens_per_day: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Health {
    healthy: bool,
}

#[derive(Serialize, JsonSchema)]
struct Live {
    live: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Ready {
    ready: bool,
}

pub(super) const SHOW: Doc = Doc::new("Show how the gateway is").answers::<StatusView>(&[200]);

pub(super) async fn show(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let config = gateway.base.config.current();
    let channels = gateway.channels.list();
    let plugins = gateway.plugins.list();
    let issues = all_issues(&gateway).await;
    Reply::ok(&StatusView {
        status: match issues.is_empty() {
            _ if !gateway.store.is_healthy() => "unhealthy",
            true => "healthy",
            false => "degraded",
        },
        version: env!("CARGO_PKG_VERSION"),
        uptime_secs: gateway.process.uptime().as_secs(),
        active_sessions: gateway.store.active_sessions(None),
        channels: Channels {
            connected: channels.iter().filter(|channel| channel.state == State::Connected).count(),
            total: channels.len(),
        },
        plugins: Plugins {
            loaded: plugins.iter().filter(|plugin| plugin.status == PluginState::Loaded).count(),
            total: plugins.len(),
        },
        memory: Memory {
            backend: config.memory.backend.clone(),
            entries: gateway.store.memory_entries().unwrap_or_default(),
        },
        provider: Provider { name: config.provider.name.clone(), model: config.provider.model.clone() },
        usage: UsageStatus {
            today: gateway.store.spent_today().unwrap_or_default(),
            max_tokens_per_day: Some(config.agent.max_tokens_per_day).filter(|most| *most > 0),
        },
        issues: issues.iter().map(Issue::to_string).collect(),
        issue_details: issues,
        restart_due: gateway.settings.restart_due(),
    })
}

/// All that is wrong and should not be.
pub(super) async fn all_issues(gateway: &Gateway) -> Vec<Issue> {
    let mut issues = issues(gateway);
    issues.extend(tool_issues(gateway).await);
    issues.extend(gateway.agents.problems().await.into_iter().map(|found| found.issue));
    issues
}

/// What is down and should not be.
fn issues(gateway: &Gateway) -> Vec<Issue> {
    let mut issues = Vec::new();
    if let Some(problem) = gateway.store.problem() {
        let fix = "make room on its disk, or mend it: the store is opened anew every few seconds, and everything goes on by \
                   itself then";
        issues.push(Issue::new(IssueKind::Store, format!("the store takes nothing: {problem}"), fix));
    }
    let certificate = gateway.process.certificate.as_ref();
    issues.extend(certificate.and_then(|certificate| certificate.problem(gateway.base.clock.now())));
    if let Some(problem) = gateway.settings.problem() {
        let problem = format!("the configuration file is not in force: {problem}");
        issues.push(Issue::new(IssueKind::Configuration, problem, "mend the file; it is taken up at once"));
    }
    if let Some(problem) = gateway.process.logs.problem() {
        let fix =
            "make room, or mend `logs.file`: it is tried again by itself, and lines go on to standard error";
        issues.push(Issue::new(IssueKind::Logs, format!("the log's file is not written: {problem}"), fix));
    }
    issues.extend(gateway.telemetry.issue());
    issues.extend(provider_issues(gateway));
    issues.extend(plugin_issues(gateway));
    issues.extend(skill_issues(gateway));
    for channel in gateway.channels.list() {
        if !matches!(channel.state, State::Connected | State::Disabled) {
            let reason = channel.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            let problem = format!("channel {} is not connected{reason}", channel.name);
            let fix = "mend what it says; where it waits for its platform, it comes back by itself";
            issues.push(Issue::new(IssueKind::Channel, problem, fix));
        } else {
            issues.extend(channel.delivery_problem());
        }
    }
    let now = gateway.base.clock.now();
    let hooks = gateway.store.hook_states().unwrap_or_default();
    let hooks = hooks.iter().flat_map(|hook| hook.problems(now));
    issues.extend(hooks.map(|HookProblem { problem, fix, .. }| Issue::new(IssueKind::Hook, problem, fix)));
    issues.extend(gateway.jobs.issues());
    issues.extend(gateway.observers.issues());
    issues.extend(gateway.filters.issues());
    for server in gateway.mcp.list() {
        if server.state != prx_mcp::State::Connected {
            let reason = server.error.map(|error| format!(": {error}")).unwrap_or_default();
            let problem = format!("MCP server {} is not connected{reason}", server.name);
            let again = format!("`prx mcp reconnect {}`", server.name);
            let fix = format!("mend what it says; it is tried again by itself, or at once by {again}");
            issues.push(Issue::new(IssueKind::McpServer, problem, fix));
        } else if let Some(problem) = server.problem {
            let problem = format!("MCP server {}: {problem}", server.name);
            issues.push(Issue::new(IssueKind::McpServer, problem, "mend what it says on the server's side"));
        }
    }
    issues
}

fn provider_issues(gateway: &Gateway) -> Vec<Issue> {
    let config = gateway.base.config.current();
    let mut issues = Vec::new();
    for (provider, _) in config.provider.choices() {
        if gateway.plugins.models(provider).is_none() {
            let problem = format!("provider {provider}: no plugin gives it");
            issues.push(Issue::new(IssueKind::Provider, problem, "see provider.name"));
        } else if let Some(problem) = gateway.turns.provider_problem(provider) {
            let problem = format!("provider {provider} gave no answer the last time: {problem}");
            let fix = "see `prx logs --level warn`; the next message asks it again";
            issues.push(Issue::new(IssueKind::Provider, problem, fix));
        }
    }
    let most = config.agent.max_tokens_per_day;
    if most > 0 && gateway.store.spent_today().is_ok_and(|spent| spent.total() >= most) {
        let fix = "raise agent.max_tokens_per_day, or wait for midnight UTC";
        issues.push(Issue::new(IssueKind::Budget, "today's tokens are used up", fix));
    }
    issues
}

fn plugin_issues(gateway: &Gateway) -> Vec<Issue> {
    let mut issues = Vec::new();
    for plugin in gateway.plugins.list() {
        let problem = match (plugin.status, plugin.error) {
            (PluginState::Failed, error) => {
                format!("plugin {} failed: {}", plugin.name, error.unwrap_or_default())
            }
            // The bundled one serves in place of a file that can't.
            (_, Some(error)) if plugin.bundled && gateway.plugins.has_file(&plugin.name) => {
                format!("plugin {}: {error}", plugin.name)
            }
            _ => continue,
        };
        let fix = format!("mend what it says; `prx plugin reload {}` tries it again", plugin.name);
        issues.push(Issue::new(IssueKind::Plugin, problem, fix));
    }
    issues
}

/// The tools that are left out, and why: the first few.
async fn tool_issues(gateway: &Gateway) -> Vec<Issue> {
    let issue = |problem: String, fix: &str| Issue::new(IssueKind::Tool, problem, fix);
    let left_out = gateway.tools.list().await.into_iter().filter_map(|tool| {
        let problem = format!("tool {} of {} is left out: {}", tool.name, tool.source, tool.problem?);
        Some(issue(problem, "mend what it says, or take the tool out where it comes from"))
    });
    let more = |more: usize| issue(format!("and {more} more tools are left out"), "see GET /tools");
    first_few(left_out.collect(), more)
}

/// The folders that are no skills, and why: the first few.
fn skill_issues(gateway: &Gateway) -> Vec<Issue> {
    let Some(folder) = gateway.plugins.skill_folder() else { return Vec::new() };
    let fix = format!("mend it in {}: it is looked at again at once", folder.path().display());
    let issue = |problem: String| Issue::new(IssueKind::Skill, problem, fix.as_str());
    let problems = gateway.plugins.skill_problems().into_iter().map(issue);
    first_few(problems.collect(), |more| issue(format!("and {more} more skills are not used")))
}

/// The first few, and in one more how many more there are.
fn first_few(mut issues: Vec<Issue>, rest: impl Fn(usize) -> Issue) -> Vec<Issue> {
    let more = issues.len().saturating_sub(MAX_LEFT_OUT);
    issues.truncate(MAX_LEFT_OUT);
    if more > 0 {
        issues.push(rest(more));
    }
    issues
}

pub(super) const HEALTH: Doc = Doc::new("Say whether the gateway is well").answers::<Health>(&[200, 503]);

pub(super) async fn health(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let healthy = gateway.store.is_healthy();
    Reply::json(code(healthy), &Health { healthy })
}

pub(super) const LIVE: Doc = Doc::new("Say whether the gateway works").answers::<Live>(&[200, 503]);

pub(super) async fn live(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let reason = gateway.store.problem().map(|problem| format!("the store takes nothing: {problem}"));
    let live = reason.is_none();
    Reply::json(code(live), &Live { live, reason })
}

pub(super) const READY: Doc = Doc::new("Say whether the gateway can serve").answers::<Ready>(&[200, 503]);

pub(super) async fn ready(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let ready = gateway.store.is_healthy();
    Reply::json(code(ready), &Ready { ready })
}

fn code(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
