//! Which tools a model is told of: as many as there is room for beside the conversation, each source its share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::catalog::Tool;
use crate::context_window::tool_cost;

/// Most tokens that all tools take where `agent.max_context_tokens` sets no bound.
const MAX_TOKENS: u64 = 250_000;
/// What part of the context window they may take: a half.
const PART: u64 = 2;

/// The room that tools have, in tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room(u64);

/// What there is no room for.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    names: BTreeSet<String>,
    room: u64,
}

impl Room {
    /// The room in a context window of so many tokens; 0: any number.
    pub(crate) fn of(max_context_tokens: u64) -> Self {
        match max_context_tokens {
            0 => Self(MAX_TOKENS),
            tokens => Self((tokens / PART).min(MAX_TOKENS)),
        }
    }

    /// Which of these tools are left out. A plugin or server that needs less than its share leaves the rest to the
    /// others; of one that needs more, those at the end of its list have no room.
    pub(crate) fn left_out<'a>(self, tools: impl Iterator<Item = &'a Arc<Tool>>) -> LeftOut {
        let mut sources: BTreeMap<String, Vec<(&str, u64)>> = BTreeMap::new();
        for tool in tools {
            let about = tool.definition();
            let cost = tool_cost(&about.name, &about.description, tool.parameters());
            sources.entry(about.source.to_string()).or_default().push((tool.name(), cost));
        }
        let mut sources: Vec<Vec<(&str, u64)>> = sources.into_values().collect();
        sources.sort_by_key(|tools| tools.iter().map(|(_, cost)| cost).sum::<u64>());
        let (mut room, mut names, count) = (self.0, BTreeSet::new(), sources.len());
        for (tools, before) in sources.into_iter().zip(0..) {
            let mut share = room / (count - before) as u64;
            for (name, cost) in tools {
                if cost <= share {
                    share -= cost;
                    room -= cost;
                } else {
                    names.insert(name.to_owned());
                }
            }
        }
        LeftOut { names, room: self.0 }
    }
}

impl LeftOut {
    /// Why a model is not told of a tool, if there is no room for it.
    pub(crate) fn problem(&self, tool: &str) -> Option<String> {
        self.names.contains(tool).then(|| {
            format!(
                "no model is told of it: all tools together take more than {} tokens, half of agent.max_context_tokens; \
                 raise that, or deny tools that nobody needs (tools.policy)",
                self.room
            )
        })
    }

    /// Whether there is no room for a tool.
    pub(crate) fn has(&self, tool: &str) -> bool {
        self.names.contains(tool)
    }
}
