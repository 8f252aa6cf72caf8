//! What an agent is told when a turn begins: the message, the history, and what may be used.

use super::context::Context;
use super::entries::{Entries, entry};
use super::work::Work;
use prx_base::config::Policy;
use prx_host::bindings::agent as wire;

/// What may be used in a turn, in an order that stays.
pub(super) fn means(work: &Work<'_>, context: &Context) -> wire::Means {
    let services = work.services;
    let config = &context.config;
    let known = context.models();
    let models = known.into_iter().map(|(provider, model)| wire::Model {
        window: services.windows.window(config, &provider, &model),
        max_output: config.components.model(&provider, &model).max_output,
        pictures: services.plugins.takes_pictures(&provider),
        name: format!("{provider}/{model}"),
    });
    let tools = context.offered().map(|(tool, policy)| wire::ToolSummary {
        name: tool.name().to_owned(),
        source: tool.definition().source.to_string(),
        read_only: tool.definition().read_only,
        policy: match policy {
            Policy::Ask => wire::ToolPolicy::Ask,
            _ => wire::ToolPolicy::Allow,
        },
    });
    let skills = services.plugins.skills().into_iter();
    let skills = skills.filter(|skill| context.agent.has_skill(&skill.info.name));
    let skills = skills.map(|skill| wire::SkillSummary {
        name: skill.info.name,
        description: skill.info.description,
        triggers: skill.info.triggers,
    });
    wire::Means {
        models: models.collect(),
        tools: tools.chain(context.callers_tools()).collect(),
        skills: skills.collect(),
    }
}

/// The message that begins a turn, for an agent that begins it, or takes it over from another one.
pub(super) fn message(work: &Work<'_>, entries: &Entries, means: wire::Means) -> wire::Event {
    let message = &work.turn.message;
    let opening = entries.opening().map(|said| said.entry());
    wire::Event::Message(wire::Message {
        entry: opening.unwrap_or_else(|| entry(&message.clone().said(), 0)),
        text: message.content.clone(),
        attachments: message.attachments.iter().cloned().map(Into::into).collect(),
        means,
        history: entries.history().map(|said| said.entry()).collect(),
        older: entries.older,
        since: entries.since().iter().map(|said| said.entry()).collect(),
    })
}
