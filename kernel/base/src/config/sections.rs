//! The sections about turns: the agent, who answers, and what may be called.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys;

/// `[agent]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// Turns after which a session ends.
    pub max_turns: u64,
    /// Tool calls that one turn may make.
    pub max_tool_calls_per_turn: u32,
    /// Seconds an idle session lives on before it is terminated.
    pub session_timeout_secs: u64,
    /// Seconds without activity after which an active session is idle.
    pub session_idle_secs: u64,
    /// Earlier messages that the provider is shown.
    pub history_messages: u32,
    /// Tokens that the provider is shown, by an estimate of four bytes each; 0: no bound.
    pub max_context_tokens: u64,
    /// Seconds after which a turn is given up.
    pub turn_timeout_secs: u64,
    /// Tokens that a session may cost; 0: no bound.
    pub max_tokens_per_session: u64,
    /// Tokens that all sessions together may cost in a day, UTC; 0: no bound.
    pub max_tokens_per_day: u64,
    /// Said to the provider before everything else.
    pub system_prompt: String,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            max_turns: 50,
            max_tool_calls_per_turn: 10,
            session_timeout_secs: 3600,
            session_idle_secs: 300,
            history_messages: 50,
            max_context_tokens: 100_000,
            turn_timeout_secs: 600,
            max_tokens_per_session: 0,
            max_tokens_per_day: 0,
            system_prompt: String::new(),
        }
    }
}

/// `[provider]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provider {
    /// The plugin that gives the capability `provider:<name>`.
    pub name: String,
    /// One of the models it lists.
    pub model: String,
    /// Who answers, in this order, when that one can't: `provider/model`.
    pub fallbacks: Vec<String>,
}

impl Default for Provider {
    fn default() -> Self {
        Self { name: "local".into(), model: "local-1".into(), fallbacks: Vec::new() }
    }
}

impl Provider {
    /// Who answers, and with which model, from the first to the last choice.
    pub fn choices(&self) -> impl Iterator<Item = (&str, &str)> {
        let first = (self.name.as_str(), self.model.as_str());
        let further = self.fallbacks.iter().filter_map(|choice| keys::provider_and_model(choice));
        std::iter::once(first).chain(further)
    }
}

/// `[tools]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tools {
    /// Seconds that one call may take.
    pub timeout_secs: u64,
    /// Bytes of a result; the rest is cut off.
    pub max_result_bytes: usize,
    /// What a model may do with a tool that `policy` does not name.
    pub default_policy: Policy,
    /// What a model may do with a tool, by its name; a name that ends with `*` stands for all that begin so.
    pub policy: BTreeMap<String, Policy>,
    /// Seconds that a person has to allow a call.
    pub ask_timeout_secs: u64,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            timeout_secs: 60,
            max_result_bytes: 64 << 10,
            default_policy: Policy::Allow,
            policy: BTreeMap::new(),
            ask_timeout_secs: 300,
        }
    }
}

/// What a model may do with a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "ToolPolicy")]
pub enum Policy {
    /// Call it.
    Allow,
    /// Call it if the person it talks to agrees, each time.
    Ask,
    /// Not even know of it.
    Deny,
}

impl Tools {
    /// The policy for a tool: that of its name, or of the longest beginning of it that has one, or the default one.
    pub fn policy_of(&self, tool: &str) -> Policy {
        let begins = |name: &&String| name.strip_suffix('*').is_some_and(|begin| tool.starts_with(begin));
        let pattern = || self.policy.keys().filter(begins).max_by_key(|name| name.len());
        let named = self.policy.get(tool).or_else(|| self.policy.get(pattern()?));
        named.copied().unwrap_or(self.default_policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_policy_is_that_of_its_name_or_of_its_longest_beginning() {
        let policy = [("near.*", Policy::Ask), ("near.echo", Policy::Allow), ("near.e*", Policy::Deny)];
        let policy = policy.map(|(name, policy)| (name.to_owned(), policy)).into();
        let tools = Tools { policy, ..Tools::default() };
        let found = ["near.echo", "near.env", "near.pid", "near", "far"].map(|tool| tools.policy_of(tool));
        assert_eq!(found, [Policy::Allow, Policy::Deny, Policy::Ask, Policy::Allow, Policy::Allow]);
    }

    #[test]
    fn choices_are_the_provider_and_its_fallbacks() {
        let fallbacks = vec!["other/vendor/large".to_owned()];
        let provider = Provider { fallbacks, ..Provider::default() };
        assert_eq!(provider.choices().collect::<Vec<_>>(), [("local", "local-1"), ("other", "vendor/large")]);
    }
}
