//! Agents, as they are configured.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::gateway::Gateway;
use prx_base::error::Result;
use prx_http::{Call, Doc, Reply};

#[derive(Serialize, JsonSchema)]
struct Agents {
    agents: Vec<Agent>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Agent")]
struct Agent {
    name: String,
    /// The plugin that it is.
    plugin: String,
    /// Who is asked first, as `provider/model`.
    model: String,
    /// What people and callers may choose beside that.
    models: Vec<String>,
    /// Channels and conversations that it answers, as `channel` or `channel/conversation`; those that name no agent are
    /// answered by `default`.
    answers: Vec<String>,
    /// Why it can't answer.
    problem: Option<String>,
    /// All that is wrong with it, as the status says it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

pub(super) const LIST: Doc = Doc::new("List agents").answers::<Agents>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let config = gateway.base.config.current();
    let found = gateway.agents.problems().await;
    let agents = config.agents().map(|agent| {
        let of_this = found.iter().filter(|found| found.agent.as_ref() == Some(&agent.name));
        let down = of_this.clone().find(|found| found.is_down);
        Agent {
            model: format!("{}/{}", agent.provider.name, agent.provider.model),
            answers: config.answered_by(&agent.name),
            problem: down.map(|found| found.issue.problem.clone()),
            problems: of_this.map(|found| found.issue.to_string()).collect(),
            models: agent.models,
            plugin: agent.plugin,
            name: agent.name,
        }
    });
    Reply::ok(&Agents { agents: agents.collect() })
}
