//! Checks what a configuration says about components against their manifests.

use std::collections::BTreeMap;

use prx_base::config::keys::nearest;
use prx_base::config::{Changes, Config, Settings};
use prx_host::inspect::Capability;
use prx_host::{Known, grants};

/// A dotted key, and what is wrong with it.
pub(crate) type Problem = (String, String);

/// Everything wrong with the tables of components that are new or differ. What was there before is no reason to
/// refuse what changes now.
pub(crate) fn check(changes: Changes<'_>, plugins: &BTreeMap<String, Known>) -> Vec<Problem> {
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
    let servers = changes.tables(|config| &config.components.mcp_servers);
    let servers = servers.filter_map(|(name, table)| match prx_mcp::check(table).err()? {
        whole if whole.starts_with("takes ") => Some(format!("mcp_servers.{name}: {whole}")),
        problem => Some(format!("mcp_servers.{name}.{problem}")),
    });
    let provider = check_providers(changes, plugins).into_iter();
    let all = provider.chain(channels).chain(providers).chain(settings).chain(servers).chain(grants);
    all.filter_map(|problem| problem.split_once(": ").map(|(key, what)| (key.into(), what.into()))).collect()
}

/// The problems that keep a gateway from starting. A plugin that is missing, or gives something else, does not: its
/// channel says so, and so does the status for a provider.
pub(crate) fn problems_at_start(config: &Config, plugins: &BTreeMap<String, Known>) -> Vec<Problem> {
    let mut problems = check(Changes { before: &Config::default(), after: config }, plugins);
    // No manifest has a key named `plugin`.
    problems.retain(|(key, _)| !key.starts_with("provider.") && !key.ends_with(".plugin"));
    problems
}

fn check_providers(changes: Changes<'_>, plugins: &BTreeMap<String, Known>) -> Vec<String> {
    let gives = |known: &Known| known.may_give(Capability::Provider);
    let before: Vec<&str> = changes.before.provider.choices().map(|(name, _)| name).collect();
    let keys = std::iter::once("provider.name").chain(std::iter::repeat("provider.fallbacks"));
    let choices = keys.zip(changes.after.provider.choices().map(|(name, _)| name));
    let unknown =
        choices.filter(|(_, name)| !before.contains(name) && !plugins.get(*name).is_some_and(gives));
    let all: Vec<&str> =
        plugins.iter().filter(|(_, known)| gives(known)).map(|(name, _)| name.as_str()).collect();
    let all = all.join(", ");
    unknown.map(|(key, name)| format!("{key}: there is no provider {name}; there are: {all}")).collect()
}

fn check_channel(name: &str, table: &Settings, plugins: &BTreeMap<String, Known>) -> Vec<String> {
    if table.get("plugin").is_some_and(|plugin| !plugin.is_string()) {
        return vec!["plugin: takes the name of a plugin in quotes".into()];
    }
    let plugin = prx_channels::plugin(name, table);
    let Some(known) = plugins.get(plugin) else {
        let near = nearest(plugin, plugins.keys().map(String::as_str));
        let near = near.map(|near| format!(" did you mean \"{near}\"?")).unwrap_or_default();
        return vec![format!("plugin: there is no plugin {plugin};{near} install it, or name another one")];
    };
    if !known.may_give(Capability::Channel) {
        return vec![format!("plugin: {plugin} is no connector")];
    }
    prx_channels::check(table, &known.manifest).err().unwrap_or_default()
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
