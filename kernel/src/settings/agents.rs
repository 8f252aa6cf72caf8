//! What keeps agents from answering as they are configured, held against the plugins, tools, skills and models there are now.
//! None of it keeps the gateway from running: it is told in the log and in the status until it is mended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::check;
use prx_agents::tool::Tools;
use prx_base::Base;
use prx_base::config::{AgentSettings, Config, fits, may_fit};
use prx_base::issue::{Issue, IssueKind};
use prx_host::Plugins;
use prx_mcp::{Mcp, State};

/// How often it is looked for what has changed, for the log: every 5 seconds.
const INTERVAL: Duration = Duration::from_secs(5);
/// Most problems that are told, of all agents.
const MAX_PROBLEMS: usize = 50;

/// What agents are held against.
#[derive(Clone)]
pub(crate) struct Agents {
    pub(crate) base: Base,
    pub(crate) plugins: Plugins,
    pub(crate) tools: Tools,
    pub(crate) mcp: Mcp,
}

/// Something about one agent, or about a channel that names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentProblem {
    /// None where it is about a channel.
    pub(crate) agent: Option<String>,
    /// It can't answer at all.
    pub(crate) is_down: bool,
    /// What is wrong, and what mends it.
    pub(crate) issue: Issue,
}

/// The names that patterns may fit.
struct Names {
    tools: Vec<String>,
    skills: Vec<String>,
    /// MCP servers whose tools are not known now.
    absent: Vec<String>,
}

impl Agents {
    /// What is wrong now, the first [`MAX_PROBLEMS`].
    pub(crate) async fn problems(&self) -> Vec<AgentProblem> {
        let config = self.base.config.current();
        let names = Names {
            tools: self.tools.list().await.into_iter().map(|tool| tool.name).collect(),
            skills: self.plugins.skills().into_iter().map(|skill| skill.info.name).collect(),
            absent: self.absent_servers(&config),
        };
        let mut problems: Vec<AgentProblem> = check::agents(&config, &self.plugins.known())
            .into_iter()
            .map(|(agent, (key, what))| {
                let is_model = ["provider", "fallbacks", "models"].iter().any(|end| key.ends_with(end));
                let is_down = agent.is_some() && !is_model;
                problem(agent, is_down, format!("{key}: {what}"), &format!("set {key}"))
            })
            .collect();
        for agent in config.agents() {
            let is_told =
                problems.iter().any(|told| told.agent.as_ref() == Some(&agent.name) && told.is_down);
            if !is_told && self.plugins.agent(&agent.plugin).is_none() {
                let what = format!(
                    "agent {}: its plugin {} is not running, or is no agent",
                    agent.name, agent.plugin
                );
                let fix = format!("see `prx plugin list`, or set agents.{}.plugin", agent.name);
                problems.push(problem(Some(agent.name.clone()), true, what, &fix));
            }
            problems.extend(self.unlisted_models(&config, &agent));
            problems.extend(unmatched(&agent, &names));
        }
        problems.truncate(MAX_PROBLEMS);
        problems
    }

    /// Writes what is wrong to the log when it comes up, and when it is mended.
    pub(crate) async fn follow(self) {
        let mut told: BTreeSet<String> = BTreeSet::new();
        let mut seen = None;
        loop {
            let there_is = (self.base.config.current(), self.plugins.revision(), self.mcp.revision());
            let is_same = |(config, plugins, mcp): &(Arc<Config>, u64, u64)| {
                Arc::ptr_eq(config, &there_is.0) && (*plugins, *mcp) == (there_is.1, there_is.2)
            };
            if seen.as_ref().is_some_and(is_same) {
                self.base.clock.sleep(INTERVAL).await;
                continue;
            }
            seen = Some(there_is);
            let now = self.problems().await;
            for found in &now {
                if !told.contains(&found.issue.problem) {
                    warn!("{}", found.issue);
                }
            }
            let now: BTreeSet<String> = now.into_iter().map(|found| found.issue.problem).collect();
            told.difference(&now).for_each(|mended| info!("this is over: {mended}"));
            told = now;
            self.base.clock.sleep(INTERVAL).await;
        }
    }

    /// The MCP servers that are configured and not connected: that is told of them, and a pattern for their tools is none that
    /// nothing fits.
    fn absent_servers(&self, config: &Config) -> Vec<String> {
        let all = self.mcp.list();
        let connected = all.iter().filter(|server| server.state == State::Connected);
        let connected: Vec<&str> = connected.map(|server| server.name.as_str()).collect();
        let configured = config.components.mcp_servers.keys();
        configured.filter(|name| !connected.contains(&name.as_str())).cloned().collect()
    }

    /// Models of providers that say which they have, and that don't say these.
    fn unlisted_models(&self, config: &Config, agent: &AgentSettings) -> Vec<AgentProblem> {
        let own = config.components.agents.get(&agent.name);
        let is_own = |key: &str| own.is_some_and(|table| table.contains_key(key));
        let split = |text: &str| text.split_once('/').map(|(p, m)| (p.to_owned(), m.to_owned()));
        let mut named = Vec::new();
        if is_own("provider") {
            named.push(("provider", Some((agent.provider.name.clone(), agent.provider.model.clone()))));
        }
        if is_own("fallbacks") {
            named.extend(agent.provider.fallbacks.iter().map(|text| ("fallbacks", split(text))));
        }
        named.extend(agent.models.iter().map(|text| ("models", split(text))));
        let unlisted = named.into_iter().filter_map(|(key, named)| {
            let (provider, model) = named?;
            let listed = self.plugins.models(&provider).filter(|listed| !listed.is_empty())?;
            let is_set = config.components.models_set(&provider).any(|set| set == model);
            if is_set || listed.contains(&model) {
                return None;
            }
            let key = format!("agents.{}.{key}", agent.name);
            let all = listed.join(", ");
            let what = format!("{key}: {provider} has no model {model}; it has: {all}");
            Some(problem(Some(agent.name.clone()), false, what, &format!("set {key}")))
        });
        unlisted.collect()
    }
}

/// The patterns of an agent that nothing fits.
fn unmatched(agent: &AgentSettings, names: &Names) -> Vec<AgentProblem> {
    let is_awaited =
        |pattern: &str| names.absent.iter().any(|server| may_fit(pattern, &format!("{server}.")));
    let tools = agent.tool_patterns().iter().filter(|pattern| !is_awaited(pattern));
    let tools = tools.map(|pattern| ("tools", "tool", pattern, &names.tools));
    let skills = agent.skill_patterns().iter().map(|pattern| ("skills", "skill", pattern, &names.skills));
    let without =
        tools.chain(skills).filter(|(.., pattern, all)| !all.iter().any(|name| fits(pattern, name)));
    let told = without.map(|(key, noun, pattern, _)| {
        let key = format!("agents.{}.{key}", agent.name);
        let what = format!("{key}: {pattern:?} fits no {noun} that there is now");
        let fix = format!("see `prx {noun} list`; set {key}, or install what gives it");
        problem(Some(agent.name.clone()), false, what, &fix)
    });
    told.collect()
}

fn problem(agent: Option<String>, is_down: bool, what: String, fix: &str) -> AgentProblem {
    AgentProblem { agent, is_down, issue: Issue::new(IssueKind::Agent, what, fix) }
}
