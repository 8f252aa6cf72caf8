//! The configuration tables that belong to plugins, held against their manifests.

use serde_json::Value;

use super::registry::Plugins;
use crate::config::{Components, Settings};

/// The plugin that a channel's table is for: the one it names, or the one of the channel's own name.
pub fn of_channel<'a>(channel: &'a str, settings: &'a Settings) -> &'a str {
    settings.get("plugin").and_then(Value::as_str).unwrap_or(channel)
}

/// A channel's table without what is the kernel's own in it.
pub fn connector_settings(settings: &Settings) -> Settings {
    settings
        .iter()
        .filter(|(key, _)| *key != "plugin")
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

impl Plugins {
    /// What in these tables does not fit the plugins they are for: a dotted key, and what is wrong with it. Tables
    /// for plugins that aren't there are left alone.
    pub fn misfits(&self, tables: &Components) -> Vec<(String, String)> {
        let channels = tables.channels_config.iter().map(|(name, settings)| {
            (format!("channels_config.{name}"), of_channel(name, settings), connector_settings(settings))
        });
        let others =
            [("plugins_config", &tables.plugins_config), ("providers_config", &tables.providers_config)];
        let others = others.into_iter().flat_map(|(section, tables)| {
            tables
                .iter()
                .map(move |(name, table)| (format!("{section}.{name}"), name.as_str(), table.clone()))
        });
        let catalog = self.catalog();
        let mut misfits = Vec::new();
        for (table, plugin, settings) in channels.chain(others) {
            let manifest = catalog.entry(plugin).and_then(|entry| entry.manifest.as_ref());
            let Some(Err(problems)) = manifest.map(|manifest| manifest.check_config(&settings)) else {
                continue;
            };
            for problem in problems {
                let (key, what) = problem.split_once(": ").unwrap_or((&problem, "does not fit"));
                misfits.push((format!("{table}.{key}"), what.to_owned()));
            }
        }
        misfits
    }
}
