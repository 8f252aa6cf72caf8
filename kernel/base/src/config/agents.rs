//! Agents: which one answers where, and what the kernel itself takes from their tables; the rest is their plugins'.

use serde_json::{Value, json};

use super::sections::{Config, Provider, Settings};

/// The agent that is always there.
pub const DEFAULT_AGENT: &str = "default";
/// The plugin of an agent whose table names none.
const BUILTIN_PLUGIN: &str = "agent";
/// The keys of `[agents.<agent>]` that are the kernel's.
const KERNEL_KEYS: [&str; 6] = ["plugin", "provider", "fallbacks", "models", "tools", "skills"];

/// An agent, as its table says.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSettings {
    /// Its name.
    pub name: String,
    /// The plugin that it is.
    pub plugin: String,
    /// Who is asked.
    pub provider: Provider,
    /// What callers and people may choose beside that, as `provider/model`.
    pub models: Vec<String>,
    /// Names of tools that it may call, `*` for any piece; none: all.
    tools: Option<Vec<String>>,
    /// The same for skills.
    skills: Option<Vec<String>>,
    /// What its plugin takes.
    pub settings: Settings,
}

impl AgentSettings {
    /// Whether it may call a tool.
    pub fn has_tool(&self, name: &str) -> bool {
        self.tools.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| fits(pattern, name)))
    }

    /// Whether it may bring in a skill.
    pub fn has_skill(&self, name: &str) -> bool {
        self.skills.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| fits(pattern, name)))
    }

    /// The language of what people are told, as a BCP 47 tag, where its table says so; none: the one that is heard.
    pub fn language(&self) -> Option<&str> {
        self.settings.get("language")?.as_str().filter(|language| !matches!(*language, "" | "auto"))
    }

    /// The patterns of tools, as they are written.
    pub fn tool_patterns(&self) -> &[String] {
        self.tools.as_deref().unwrap_or_default()
    }

    /// The patterns of skills, as they are written.
    pub fn skill_patterns(&self) -> &[String] {
        self.skills.as_deref().unwrap_or_default()
    }
}

impl Config {
    /// The agents there are: the one that is always there first.
    pub fn agents(&self) -> impl Iterator<Item = AgentSettings> {
        let others = self.components.agents.keys().filter(|name| *name != DEFAULT_AGENT);
        let names = std::iter::once(DEFAULT_AGENT).chain(others.map(String::as_str));
        names.filter_map(|name| self.agent(name))
    }

    /// An agent by its name; none if there is none.
    pub fn agent(&self, name: &str) -> Option<AgentSettings> {
        let empty = Settings::new();
        let table = match self.components.agents.get(name) {
            Some(table) => table,
            None if name == DEFAULT_AGENT => &empty,
            None => return None,
        };
        let text = |key: &str| table.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let list = |key: &str| {
            // What is no list names nothing, rather than everything.
            let list = table.get(key)?.as_array().map(Vec::as_slice).unwrap_or_default();
            Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>())
        };
        let mut provider = self.provider.with_model(text("provider"));
        provider.fallbacks = list("fallbacks").unwrap_or(provider.fallbacks);
        let mut settings = self.common_settings();
        settings
            .extend(table.iter().filter(|(key, _)| !is_agent_key(key)).map(|(k, v)| (k.clone(), v.clone())));
        Some(AgentSettings {
            name: name.to_owned(),
            plugin: text("plugin").unwrap_or(BUILTIN_PLUGIN).to_owned(),
            provider,
            models: list("models").unwrap_or_default(),
            tools: list("tools"),
            skills: list("skills"),
            settings,
        })
    }

    /// The name of the agent that answers: the session's own, or the one of the conversation, of the channel, or the default.
    pub fn agent_for<'a>(
        &'a self,
        session: Option<&'a str>,
        channel: &str,
        conversation: Option<&str>,
    ) -> &'a str {
        let table = self.components.channels_config.get(channel);
        let of_conversation = conversation.and_then(|id| table?.get("agents")?.get(id)?.as_str());
        let of_channel = || table.and_then(|table| table.get("agent")?.as_str());
        session.or(of_conversation).or_else(of_channel).unwrap_or(DEFAULT_AGENT)
    }

    /// The channels and conversations that name an agent, as `channel` or `channel/conversation`.
    pub fn answered_by(&self, agent: &str) -> Vec<String> {
        let is_it = |value: Option<&Value>| value.and_then(Value::as_str) == Some(agent);
        let mut all = Vec::new();
        for (channel, table) in &self.components.channels_config {
            if is_it(table.get("agent")) {
                all.push(channel.clone());
            }
            let conversations = table.get("agents").and_then(Value::as_object).into_iter().flatten();
            all.extend(
                conversations.filter(|(_, name)| is_it(Some(name))).map(|(id, _)| format!("{channel}/{id}")),
            );
        }
        all
    }

    /// What `[agent]` and `[memory]` say for every agent.
    fn common_settings(&self) -> Settings {
        let common = json!({
            "system_prompt": self.agent.system_prompt,
            "memories": self.memory.top_k,
            "keep_messages": self.agent.history_messages,
        });
        match common {
            Value::Object(settings) => settings,
            _ => Settings::new(),
        }
    }
}

/// Whether a key of an agent's table is the kernel's.
pub fn is_agent_key(key: &str) -> bool {
    KERNEL_KEYS.contains(&key)
}

/// Whether a name that begins so may fit a pattern.
pub fn may_fit(pattern: &str, beginning: &str) -> bool {
    let fixed = pattern.split('*').next().unwrap_or_default();
    match pattern.contains('*') {
        true => fixed.starts_with(beginning) || beginning.starts_with(fixed),
        false => fixed.starts_with(beginning),
    }
}

/// Whether a name fits a pattern, in which `*` stands for any piece.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names() {
        for (pattern, name, wanted) in [
            ("recall", "recall", true),
            ("recall", "recalls", false),
            ("crm.*", "crm.find", true),
            ("crm.*", "crm", false),
            ("*", "anything", true),
            ("*_page", "web.read_page", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
        for (pattern, wanted) in [
            ("crm.*", true),
            ("crm.find", true),
            ("*_page", true),
            ("c*", true),
            ("cr", false),
            ("web.*", false),
        ] {
            assert_eq!(may_fit(pattern, "crm."), wanted, "{pattern}");
        }
    }

    #[test]
    fn an_agent_is_what_its_table_and_the_common_ones_say() {
        let config: Config = serde_json::from_value(json!({
            "agent": {"system_prompt": "Be brief."},
            "provider": {"name": "near", "model": "small", "fallbacks": ["far/large"]},
            "channels_config": {"work": {"agent": "support", "agents": {"7": "sales"}}},
            "agents": {
                "support": {"system_prompt": "Help.", "provider": "far/large", "tools": ["crm.*"], "skills": []},
                "sales": {"plugin": "seller", "language": "de", "fallbacks": []},
            },
        }))
        .unwrap();
        let names: Vec<String> = config.agents().map(|agent| agent.name).collect();
        assert_eq!(names, ["default", "sales", "support"]);
        let support = config.agent("support").unwrap();
        assert_eq!(
            (&*support.plugin, &*support.provider.name, &*support.provider.model),
            ("agent", "far", "large")
        );
        assert_eq!(support.settings["system_prompt"], "Help.");
        assert!(support.has_tool("crm.find") && !support.has_tool("recall") && !support.has_skill("any"));
        let sales = config.agent("sales").unwrap();
        assert_eq!((&*sales.plugin, &sales.settings["language"]), ("seller", &json!("de")));
        assert!(sales.provider.fallbacks.is_empty() && sales.has_tool("recall"));
        assert_eq!(sales.settings["system_prompt"], "Be brief.");
        assert!(config.agent("nobody").is_none());
        let for_ = |session, channel, conversation| config.agent_for(session, channel, conversation);
        assert_eq!(for_(None, "api", None), "default");
        assert_eq!(for_(None, "work", Some("7")), "sales");
        assert_eq!(for_(None, "work", Some("8")), "support");
        assert_eq!(for_(Some("x"), "work", Some("7")), "x");
    }
}
