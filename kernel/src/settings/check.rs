//! Checks what a configuration says about components against their manifests.

use std::collections::{BTreeMap, BTreeSet};

use crate::telemetry;
use prx_base::config::keys::nearest;
use prx_base::config::{Changes, Components, Config, Settings, provider_plugin, provider_settings};
use prx_egress::Egress;
use prx_host::inspect::Capability;
use prx_host::{Known, grants};
use prx_http::Network;

/// A dotted key, and what is wrong with it.
pub(crate) type Problem = (String, String);

/// Everything wrong with what a change brings, each with its key.
pub(crate) async fn problems(changes: Changes<'_>, plugins: &BTreeMap<String, Known>) -> Vec<String> {
    let Changes { before, after } = changes;
    let components = check(Changes { before, after }, plugins).into_iter();
    let mut problems: Vec<_> = components.map(|(key, what)| format!("{key}: {what}")).collect();
    // The next start would end with it, and nothing would be there to change it back with.
    if after.gateway != before.gateway
        && let Err(error) = Network::check(&after.gateway).await
    {
        problems.push(format!("gateway: {error}"));
    }
    if after.egress != before.egress {
        problems.extend(Egress::problem(&after.egress));
    }
    if after.telemetry != before.telemetry {
        problems.extend(telemetry::problem(&after.telemetry));
    }
    problems
}

/// Everything wrong with the tables of components that are new or differ. What was there before is no reason to
/// refuse what changes now.
fn check(changes: Changes<'_>, plugins: &BTreeMap<String, Known>) -> Vec<Problem> {
    let channels = changes.tables(|config| &config.components.channels_config).flat_map(|(name, table)| {
        let problems = check_channel(name, table, plugins);
        problems.into_iter().map(move |problem| format!("channels_config.{name}.{problem}"))
    });
    let providers = changes.tables(|config| &config.components.providers_config);
    let providers = providers.flat_map(|entry| check_provider(entry, plugins));
    let settings = changes.tables(|config| &config.components.plugins_config);
    let settings = settings.flat_map(|entry| check_plugin("plugins_config", entry, plugins));
    let grants = changes.tables(|config| &config.components.grants).flat_map(|(name, grant)| {
        let problems = grants::check(grant);
        problems.into_iter().map(move |problem| format!("grants.{name}.{problem}"))
    });
    let servers = changes.tables(|config| &config.components.mcp_servers);
    let servers = servers.filter_map(|(name, table)| match prx_mcp::check(table).err()? {
        whole if whole.starts_with("takes ") => Some(format!("mcp_servers.{name}: {whole}")),
        problem => Some(format!("mcp_servers.{name}.{problem}")),
    });
    let agents = changes.tables(|config| &config.components.agents);
    let agents = agents.flat_map(|entry| check_agent(entry, changes.after, plugins));
    let named = check_agent_names(changes).into_iter();
    let filters = check_filters(changes, plugins).into_iter();
    let provider = check_providers(changes, plugins).into_iter();
    let differ = changes.before.plugins != changes.after.plugins;
    let trust = differ.then(|| prx_host::check_settings(&changes.after.plugins)).into_iter().flatten();
    let all = provider
        .chain(agents)
        .chain(named)
        .chain(filters)
        .chain(channels)
        .chain(providers)
        .chain(settings)
        .chain(servers)
        .chain(grants)
        .chain(trust);
    all.filter_map(|problem| problem.split_once(": ").map(|(key, what)| (key.into(), what.into()))).collect()
}

/// What is wrong with a configuration when a gateway starts.
pub(crate) struct AtStart {
    /// It does not start.
    pub(crate) fatal: Vec<Problem>,
    /// It starts, and a component is down that says so itself: its plugin is missing or gives something else, or a
    /// secret of it is not there. What becomes of what a filter is to see that is not there, the operator has said.
    pub(crate) down: Vec<Problem>,
}

/// Holds a whole configuration against the plugins there are. Nothing needs to be compiled for that.
pub(crate) fn at_start(config: &Config, plugins: &BTreeMap<String, Known>) -> AtStart {
    let problems = check(Changes { before: &Config::default(), after: config }, plugins);
    let unresolved = unresolved(config, plugins);
    let missing = |key: &str| unresolved.iter().any(|(known, _)| known == key);
    // No manifest has a key named `plugin`.
    let is_agent = |key: &str| {
        let of_channel = key.strip_prefix("channels_config.").and_then(|key| key.split_once('.'));
        key.starts_with("agents.")
            || of_channel.is_some_and(|(_, key)| key == "agent" || key.starts_with("agents."))
    };
    let is_down = |key: &str| {
        key.starts_with("provider.")
            || key.starts_with("filters.")
            || key.ends_with(".plugin")
            || is_agent(key)
            || missing(key)
    };
    let (down, fatal) = problems.into_iter().partition(|(key, _)| is_down(key));
    AtStart { fatal, down }
}

/// The secrets that are named in tables of components and are not there.
fn unresolved(config: &Config, plugins: &BTreeMap<String, Known>) -> Vec<Problem> {
    let components = &config.components;
    let channels = components.channels_config.iter();
    let channels =
        channels.map(|(name, table)| ("channels_config", name, prx_channels::plugin(name, table), table));
    let providers = components.providers_config.iter();
    let providers =
        providers.map(|(name, table)| ("providers_config", name, provider_plugin(name, table), table));
    let others = components.plugins_config.iter();
    let others = others.map(|(name, table)| ("plugins_config", name, name.as_str(), table));
    let mut missing = Vec::new();
    for (section, name, plugin, table) in channels.chain(providers).chain(others) {
        let Some(known) = plugins.get(plugin) else { continue };
        let keys = known.manifest.unresolved(table).into_iter();
        missing.extend(keys.map(|(key, why)| (format!("{section}.{name}.{key}"), why)));
    }
    for (name, table) in &components.mcp_servers {
        let keys = prx_mcp::unresolved(table).into_iter();
        missing.extend(keys.map(|(key, why)| (format!("mcp_servers.{name}.{key}"), why)));
    }
    missing
}

fn check_providers(changes: Changes<'_>, plugins: &BTreeMap<String, Known>) -> Vec<String> {
    let gives = |known: &Known| known.may_give(Capability::Provider);
    let components: &Components = &changes.after.components;
    let before: Vec<&str> = changes.before.provider.choices().map(|(name, _)| name).collect();
    let keys = std::iter::once("provider.name").chain(std::iter::repeat("provider.fallbacks"));
    let choices = keys.zip(changes.after.provider.choices().map(|(name, _)| name));
    let unknown = choices.filter(|(_, name)| {
        !before.contains(name) && !plugins.get(components.plugin_of(name)).is_some_and(gives)
    });
    let all = providers(components, plugins).into_iter().collect::<Vec<_>>().join(", ");
    unknown.map(|(key, name)| format!("{key}: there is no provider {name}; there are: {all}")).collect()
}

/// The providers that may be named: plugins that give models, and the tables that make further ones of them.
pub(crate) fn providers<'a>(
    components: &'a Components,
    plugins: &'a BTreeMap<String, Known>,
) -> BTreeSet<&'a str> {
    let own = plugins.keys().map(String::as_str);
    let tables = components.providers_config.keys().map(String::as_str);
    let gives = |known: &Known| known.may_give(Capability::Provider);
    let is_given = |name: &&str| plugins.get(components.plugin_of(name)).is_some_and(gives);
    own.chain(tables).filter(is_given).collect()
}

/// Filters that are named, and can't be asked.
fn check_filters(changes: Changes<'_>, plugins: &BTreeMap<String, Known>) -> Vec<String> {
    let [before, after] =
        [changes.before, changes.after].map(|config: &Config| &config.components.filters.order);
    if before == after {
        return Vec::new();
    }
    let is_filter = |known: &Known| known.may_give(Capability::Filter);
    let mut seen = BTreeSet::new();
    let wrong = after.iter().filter_map(|name| {
        if !seen.insert(name) {
            return Some(format!("{name} is named twice"));
        }
        match plugins.get(name) {
            // It is not asked for less than before.
            _ if before.contains(name) => None,
            None => Some(no_plugin(name, plugins).replace("plugin: ", "")),
            Some(known) if !is_filter(known) => {
                let filters = plugins.iter().filter(|(_, known)| is_filter(known));
                let filters: Vec<&str> = filters.map(|(name, _)| name.as_str()).collect();
                Some(format!("{name} is no filter; filters are: {}", filters.join(", ")))
            }
            Some(_) => None,
        }
    });
    wrong.map(|why| format!("filters.order: {why}")).collect()
}

fn check_channel(name: &str, table: &Settings, plugins: &BTreeMap<String, Known>) -> Vec<String> {
    if table.get("plugin").is_some_and(|plugin| !plugin.is_string()) {
        return vec!["plugin: takes the name of a plugin in quotes".into()];
    }
    let plugin = prx_channels::plugin(name, table);
    let Some(known) = plugins.get(plugin) else { return vec![no_plugin(plugin, plugins)] };
    if !known.may_give(Capability::Channel) {
        return vec![format!("plugin: {plugin} is no connector")];
    }
    prx_channels::check(table, &known.manifest).err().unwrap_or_default()
}

fn no_plugin(plugin: &str, plugins: &BTreeMap<String, Known>) -> String {
    let near = nearest(plugin, plugins.keys().map(String::as_str));
    let near = near.map(|near| format!(" did you mean \"{near}\"?")).unwrap_or_default();
    format!("plugin: there is no plugin {plugin};{near} install it, or name another one")
}

fn check_provider((name, table): (&str, &Settings), plugins: &BTreeMap<String, Known>) -> Vec<String> {
    let plugin = provider_plugin(name, table);
    let problems = match plugins.get(plugin) {
        // What is not installed yet can be configured beforehand.
        None if plugin == name => Vec::new(),
        None => vec![no_plugin(plugin, plugins)],
        Some(known) if plugin != name && !known.may_give(Capability::Provider) => {
            vec![format!("plugin: {plugin} gives no models")]
        }
        Some(known) => known.manifest.check_config(&provider_settings(table)).err().unwrap_or_default(),
    };
    problems.into_iter().map(|problem| format!("providers_config.{name}.{problem}")).collect()
}

/// What is wrong with all agents, and with what channels say of them: each with its agent, where it is an agent's.
pub(super) fn agents(config: &Config, plugins: &BTreeMap<String, Known>) -> Vec<(Option<String>, Problem)> {
    let split =
        |problem: String| problem.split_once(": ").map(|(key, what)| (key.to_owned(), what.to_owned()));
    let nothing = Settings::new();
    let of_agents = config.agents().flat_map(|agent| {
        let problems = check_agent((&agent.name, &nothing), config, plugins);
        problems.into_iter().filter_map(split).map(move |problem| (Some(agent.name.clone()), problem))
    });
    let names = check_agent_names(Changes { before: &Config::default(), after: config });
    of_agents.chain(names.into_iter().filter_map(split).map(|problem| (None, problem))).collect()
}

fn check_agent(
    (name, _): (&str, &Settings),
    config: &Config,
    plugins: &BTreeMap<String, Known>,
) -> Vec<String> {
    let Some(agent) = config.agent(name) else { return Vec::new() };
    let mut problems = match plugins.get(&agent.plugin) {
        None => vec![no_plugin(&agent.plugin, plugins)],
        Some(known) if !known.may_give(Capability::Agent) => {
            vec![format!("plugin: {} is no agent", agent.plugin)]
        }
        Some(known) => {
            let mut settings = agent.settings.clone();
            // What is common is there for agents that take it.
            let own = config.components.agents.get(name);
            settings.retain(|key, _| {
                known.manifest.config.contains_key(key) || own.is_some_and(|own| own.contains_key(key))
            });
            known.manifest.check_config(&settings).err().unwrap_or_default()
        }
    };
    let all = providers(&config.components, plugins);
    let table = config.components.agents.get(name);
    let own_fallbacks = table.is_some_and(|table| table.contains_key("fallbacks"));
    let fallbacks = agent.provider.fallbacks.iter().filter(|_| own_fallbacks);
    let fallbacks = fallbacks.map(|model| ("fallbacks", model.as_str()));
    let models = agent.models.iter().map(|model| ("models", model.as_str())).chain(fallbacks);
    let first = table.and_then(|table| table.get("provider")?.as_str()).map(|model| ("provider", model));
    for (key, model) in first.into_iter().chain(models) {
        if !model.split_once('/').is_some_and(|(provider, model)| all.contains(provider) && !model.is_empty())
        {
            let known = all.iter().copied().collect::<Vec<_>>().join(", ");
            problems
                .push(format!("{key}: {model:?} is no `provider/model`; there are the providers: {known}"));
        }
    }
    problems.into_iter().map(|problem| format!("agents.{name}.{problem}")).collect()
}

/// Channels that name an agent which there is not.
fn check_agent_names(changes: Changes<'_>) -> Vec<String> {
    let known: Vec<String> = changes.after.agents().map(|agent| agent.name).collect();
    let channels = changes.tables(|config| &config.components.channels_config);
    let mut problems = Vec::new();
    for (channel, table) in channels {
        let of_channel = table.get("agent").map(|agent| ("agent".to_owned(), agent));
        let conversations = table.get("agents").and_then(serde_json::Value::as_object).into_iter().flatten();
        let conversations = conversations.map(|(id, agent)| (format!("agents.{id}"), agent));
        for (key, agent) in of_channel.into_iter().chain(conversations) {
            let Some(name) = agent.as_str().filter(|name| !known.iter().any(|known| known == name)) else {
                continue;
            };
            let all = known.join(", ");
            problems
                .push(format!("channels_config.{channel}.{key}: there is no agent {name}; there are: {all}"));
        }
    }
    problems
}

fn check_plugin(
    section: &str,
    (name, table): (&str, &Settings),
    plugins: &BTreeMap<String, Known>,
) -> Vec<String> {
    // What is not installed yet can be configured beforehand.
    let Some(known) = plugins.get(name) else { return Vec::new() };
    let problems = known.manifest.check_config(table).err().unwrap_or_default();
    problems.into_iter().map(|problem| format!("{section}.{name}.{problem}")).collect()
}
