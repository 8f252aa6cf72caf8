//! Holds what a configuration says about components against what is known of them.

use std::collections::BTreeMap;

use crate::channel;
use crate::config::keys::nearest;
use crate::config::{Changes, Config, Settings};
use crate::plugin::inspect::Capability;
use crate::plugin::{Known, grants};

/// Everything wrong with the tables of components that are new or differ, each with its dotted key. What was there
/// before is no reason to refuse what changes now.
pub(crate) fn check(changes: Changes<'_>, plugins: &BTreeMap<String, Known>) -> Vec<String> {
    let channels = changes.tables(|config| &config.components.channels_config).flat_map(|(name, table)| {
        let problems = check_channel(name, table, plugins);
        problems.into_iter().map(move |problem| format!("channels_config.{name}.{problem}"))
    });
    let providers = changes.tables(|config| &config.components.providers_config);
    let providers = providers.flat_map(|entry| check_plugin("providers_config", entry, plugins));
    let settings = changes.tables(|config| &config.components.plugins_config);
    let settings = settings.flat_map(|entry| check_plugin("plugins_config", entry, plugins));
    let grants = changes.tables(|config| &config.components.grants).flat_map(|(name, grant)| {
        let problems = grants::check(grant);
        problems.into_iter().map(move |problem| format!("grants.{name}.{problem}"))
    });
    check_provider(changes, plugins)
        .into_iter()
        .chain(channels)
        .chain(providers)
        .chain(settings)
        .chain(grants)
        .collect()
}

/// What in the tables of components does not fit the plugins there are: each dotted key, and what is wrong with it.
/// A table whose plugin is missing, or is no connector, is no reason not to start: its channel says so.
pub(crate) fn misfits(config: &Config, plugins: &BTreeMap<String, Known>) -> Vec<(String, String)> {
    let channels = config.components.channels_config.iter().flat_map(|(name, table)| {
        let known = plugins.get(channel::plugin(name, table));
        let known = known.filter(|known| known.may_give(Capability::Channel));
        let problems =
            known.and_then(|known| channel::check(table, &known.manifest).err()).unwrap_or_default();
        problems.into_iter().map(move |problem| format!("channels_config.{name}.{problem}"))
    });
    let others = [
        ("providers_config", &config.components.providers_config),
        ("plugins_config", &config.components.plugins_config),
    ];
    let others = others.into_iter().flat_map(|(section, tables)| {
        tables.iter().flat_map(move |(name, table)| check_plugin(section, (name.as_str(), table), plugins))
    });
    let split = |problem: String| match problem.split_once(": ") {
        Some((key, what)) => (key.to_owned(), what.to_owned()),
        None => (problem, "does not fit".to_owned()),
    };
    channels.chain(others).map(split).collect()
}

fn check_provider(changes: Changes<'_>, plugins: &BTreeMap<String, Known>) -> Option<String> {
    let name = &changes.after.provider.name;
    let gives = |known: &Known| known.may_give(Capability::Provider);
    if *name == changes.before.provider.name || plugins.get(name).is_some_and(gives) {
        return None;
    }
    let all: Vec<&str> =
        plugins.iter().filter(|(_, known)| gives(known)).map(|(name, _)| name.as_str()).collect();
    Some(format!("provider.name: there is no provider {name}; there are: {}", all.join(", ")))
}

fn check_channel(name: &str, table: &Settings, plugins: &BTreeMap<String, Known>) -> Vec<String> {
    if table.get("plugin").is_some_and(|plugin| !plugin.is_string()) {
        return vec!["plugin takes the name of a plugin in quotes".into()];
    }
    let plugin = channel::plugin(name, table);
    let Some(known) = plugins.get(plugin) else {
        let near = nearest(plugin, plugins.keys().map(String::as_str));
        let near = near.map(|near| format!(" did you mean \"{near}\"?")).unwrap_or_default();
        return vec![format!("plugin: there is no plugin {plugin};{near} install it, or name another one")];
    };
    if !known.may_give(Capability::Channel) {
        return vec![format!("plugin: {plugin} is no connector")];
    }
    channel::check(table, &known.manifest).err().unwrap_or_default()
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
