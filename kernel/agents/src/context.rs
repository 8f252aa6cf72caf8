//! What a provider is shown: who it is, what was said before, and which tools it may call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::recall;
use super::tool::{Catalog, Names, Room, Tool};
use super::windows::Limit;
use super::work::{Services, Work};
use prx_base::config::{AgentSettings, Config, Policy, Provider};
use prx_base::error::Result;
use prx_host::Scope;
use prx_host::bindings::agent;
use prx_host::bindings::provider as wire;
use prx_store::{ProviderData, Store, Terms, Turn};

/// Who is asked.
pub(super) struct Model<'a> {
    /// The provider, by its name in the configuration.
    pub(super) provider: &'a str,
    /// One of its models.
    pub(super) name: &'a str,
    /// It reads pictures.
    pub(super) takes_pictures: bool,
    /// What a request may cost.
    pub(super) limit: Limit,
    /// Tokens of its longest answer, where that is set.
    pub(super) max_output: Option<u64>,
}

/// What stays the same while a turn lasts.
pub(super) struct Context {
    /// Who decides.
    pub(super) agent: AgentSettings,
    /// What it was put together from.
    pub(super) config: Arc<Config>,
    pub(super) catalog: Arc<Catalog>,
    /// Who is asked.
    pub(super) provider: Provider,
    /// The model that the session names, as `provider/model`.
    named: Option<String>,
    /// What the calls of the turn may see.
    pub(super) scope: Scope,
    /// The channel of the session, to which the files belong that tools make.
    pub(super) channel: String,
    /// What models call the tools.
    pub(super) names: Arc<Names>,
    /// The tools that may be called, and what the operator says about each.
    offered: BTreeMap<String, Policy>,
    /// The same, and as a provider is told of each.
    tools: Vec<(Arc<Tool>, wire::ToolSpec)>,
    /// What whoever began the turn wants of it.
    pub(super) terms: Terms,
}

impl Context {
    /// What a turn begins with, in which these tools were called before.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn of<'a>(
        work: &Work<'_>,
        agent: AgentSettings,
        called: impl Iterator<Item = &'a str>,
    ) -> Result<Self> {
        let Services { base, store, tools, .. } = work.services;
        let config = base.config.current();
        let catalog = tools.catalog().await;
        let names = catalog.names().with(called);
        let policy = |tool: &Tool| config.tools.policy_of(tool.name());
        let terms = work.turn.terms.as_deref().cloned().unwrap_or_default();
        // What the caller calls so is meant where both have a tool of the name.
        let is_callers = |tool: &Tool| terms.has_tool(names.shown(tool.name()));
        let told: Vec<&Arc<Tool>> = catalog
            .tools()
            .filter(|_| config.agent.max_tool_calls_per_turn > 0)
            .filter(|tool| agent.has_tool(tool.name()) && !is_callers(tool))
            .filter(|tool| policy(tool) != Policy::Deny && tool.problem().is_none())
            .collect();
        let left_out = Room::of(config.agent.max_context_tokens).left_out(told.iter().copied());
        let told: Vec<_> = told.into_iter().filter(|tool| !left_out.has(tool.name())).collect();
        let offered = told.iter().map(|tool| (tool.name().to_owned(), policy(tool))).collect();
        let specs = told.into_iter().map(|tool| (Arc::clone(tool), spec(tool, &names))).collect();
        let scope = scope(store, work.turn)?;
        let session = store.session(&work.turn.session)?;
        Ok(Self {
            provider: agent.provider.with_model(session.model.as_deref()),
            agent,
            config,
            catalog,
            named: session.model,
            scope,
            channel: session.channel,
            offered,
            tools: specs,
            names,
            terms,
        })
    }

    /// The models that are asked for, in order: the one of this name, or the configured ones.
    pub(super) fn choices(&self, named: Option<&str>) -> Vec<(String, String)> {
        let owned = |(provider, model): (&str, &str)| (provider.to_owned(), model.to_owned());
        match named.and_then(|named| named.split_once('/')) {
            Some(named) => vec![owned(named)],
            None => self.provider.choices().map(owned).collect(),
        }
    }

    /// The models that may be asked, the configured one first.
    pub(super) fn models(&self) -> Vec<(String, String)> {
        let mut models = self.choices(None);
        for model in self.agent.models.iter().filter_map(|model| model.split_once('/')) {
            let model = (model.0.to_owned(), model.1.to_owned());
            if !models.contains(&model) {
                models.push(model);
            }
        }
        models
    }

    /// The tools that may be called, with what the operator says about each, in their order.
    pub(super) fn offered(&self) -> impl Iterator<Item = (&Arc<Tool>, Policy)> {
        self.tools.iter().filter_map(|(tool, _)| Some((tool, self.policy_of(tool.name())?)))
    }

    /// What a model may do with a tool in this turn; none if it is not to be called.
    pub(super) fn policy_of(&self, tool: &str) -> Option<Policy> {
        self.offered.get(tool).copied()
    }

    /// The request of an agent, for this model.
    pub(super) fn request(
        &self,
        ask: &agent::AskModel,
        messages: Vec<wire::Message>,
        model: &Model<'_>,
    ) -> wire::Request {
        let mut tools = self.tools_within(model.limit.with_tools);
        let wanted: BTreeSet<&str> = ask.tools.iter().map(|name| self.names.shown(name)).collect();
        tools.retain(|tool| wanted.contains(tool.name.as_str()));
        tools.extend(ask.own_tools.iter().cloned());
        tools.extend(self.callers_specs(ask));
        let mut options: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&ask.options).unwrap_or_default();
        let mut system = ask.system.clone();
        // What is asked aside is the agent's own affair.
        if ask.kept {
            for (name, value) in &self.terms.options {
                options.entry(name).or_insert_with(|| value.clone());
            }
            let gap = if system.is_empty() || self.terms.instructions.is_empty() { "" } else { "\n\n" };
            system.push_str(gap);
            system.push_str(&self.terms.instructions);
        }
        if let Some(longest) = model.max_output {
            let wanted = options.get("max_tokens").and_then(serde_json::Value::as_u64);
            options
                .insert("max_tokens".to_owned(), wanted.map_or(longest, |wanted| wanted.min(longest)).into());
        }
        // A model that is named counts for more than one of the provider's own settings.
        let is_it = |named: &String| named.split_once('/') == Some((model.provider, model.name));
        if ask.model.as_ref().or(self.named.as_ref()).is_some_and(is_it) {
            options.insert("model".to_owned(), model.name.into());
        }
        wire::Request {
            model: model.name.to_owned(),
            system,
            messages,
            tools,
            options: serde_json::Value::Object(options).to_string(),
        }
    }

    /// The tools that a model is told of whose requests may cost so much; 0: any number.
    fn tools_within(&self, max_tokens: u64) -> Vec<wire::ToolSpec> {
        let left_out = Room::of(max_tokens).left_out(self.tools.iter().map(|(tool, _)| tool));
        let told = self.tools.iter().filter(|(tool, _)| !left_out.has(tool.name()));
        told.map(|(_, spec)| spec.clone()).collect()
    }

    /// A completion with the tools' own names.
    pub(super) fn own_names(&self, mut completion: wire::Completion) -> wire::Completion {
        for call in completion.tool_calls.iter_mut().filter(|call| !self.terms.has_tool(&call.name)) {
            call.name = self.names.own(&call.name).to_owned();
        }
        completion
    }
}

impl Model<'_> {
    /// Whether this model has written that.
    pub(super) fn wrote(&self, data: &ProviderData) -> bool {
        data.provider == self.provider && data.model == self.name
    }
}

pub(super) fn provider_data(data: &ProviderData) -> wire::ProviderData {
    let calls = data.calls.iter().map(|(id, data)| (id.clone(), data.clone())).collect();
    wire::ProviderData { message: data.message.clone(), calls }
}

/// What the calls of a turn may see: what came with the message that began it, and the memories of who said it.
///
/// # Errors
/// The store has failed.
pub(super) fn scope(store: &Store, turn: &Turn) -> Result<Scope> {
    Ok(Scope {
        attachments: turn.message.attachments.iter().cloned().map(Into::into).collect(),
        owner: recall::owner(store, turn)?,
        session: Some(turn.session.clone()),
        makes: None,
        transcript: None,
        turns: None,
        trace: None,
    })
}

/// A tool as providers are told of it.
fn spec(tool: &Tool, names: &Names) -> wire::ToolSpec {
    wire::ToolSpec {
        name: names.shown(tool.name()).to_owned(),
        description: tool.definition().description.clone(),
        parameters: tool.parameters().to_owned(),
    }
}
