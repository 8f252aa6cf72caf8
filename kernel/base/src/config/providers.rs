//! What the kernel itself takes from the tables of providers; the rest is their plugins'.

use serde_json::Value;

use super::sections::{Components, Settings};

/// The keys of `[providers_config.<provider>]` that are the kernel's.
const KERNEL_KEYS: [&str; 2] = ["plugin", "models"];

/// What is set for one model: `providers_config.<provider>.models.<model>`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelSettings {
    /// Tokens that it takes, its answer included.
    pub window: Option<u64>,
    /// Tokens of its longest answer.
    pub max_output: Option<u64>,
}

/// The plugin that a provider's table names: the one of the table's own name where it names none.
pub fn provider_plugin<'a>(provider: &'a str, table: &'a Settings) -> &'a str {
    table.get("plugin").and_then(Value::as_str).filter(|plugin| !plugin.is_empty()).unwrap_or(provider)
}

/// A provider's table without what is the kernel's, for its plugin.
pub fn provider_settings(table: &Settings) -> Settings {
    let own = table.iter().filter(|(key, _)| !is_kernel_key(key));
    own.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether a key of a provider's table is the kernel's.
pub fn is_kernel_key(key: &str) -> bool {
    KERNEL_KEYS.contains(&key)
}

impl Components {
    /// The tables that are a plugin's own, by their dotted keys: what it is granted, and its settings.
    pub fn tables_of(&self, plugin: &str) -> Vec<String> {
        let grants = self.grants.contains_key(plugin).then(|| format!("grants.{plugin}"));
        let settings = self.plugins_config.contains_key(plugin).then(|| format!("plugins_config.{plugin}"));
        grants.into_iter().chain(settings).collect()
    }

    /// The plugin that gives a provider.
    pub fn plugin_of<'a>(&'a self, provider: &'a str) -> &'a str {
        self.providers_config.get(provider).map_or(provider, |table| provider_plugin(provider, table))
    }

    /// The providers of a plugin beside the one of its own name, with their tables.
    pub fn further_providers<'a>(&'a self, plugin: &str) -> impl Iterator<Item = (&'a str, &'a Settings)> {
        let tables = self.providers_config.iter().map(|(name, table)| (name.as_str(), table));
        tables.filter(move |(name, table)| *name != plugin && provider_plugin(name, table) == plugin)
    }

    /// The models of a provider for which something is set.
    pub fn models_set<'a>(&'a self, provider: &str) -> impl Iterator<Item = &'a str> {
        let models = self.providers_config.get(provider).and_then(|table| table.get("models"));
        models.and_then(Value::as_object).into_iter().flat_map(|models| models.keys().map(String::as_str))
    }

    /// What is set for a model of a provider.
    pub fn model(&self, provider: &str, model: &str) -> ModelSettings {
        let models = self.providers_config.get(provider).and_then(|table| table.get("models"));
        let set = models.and_then(|models| models.get(model));
        let tokens = |key: &str| set.and_then(|set| set.get(key)).and_then(Value::as_u64);
        ModelSettings { window: tokens("window"), max_output: tokens("max_output") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_a_provider_of_the_plugin_that_it_names() {
        let components: Components = serde_json::from_value(json!({"providers_config": {
            "near": {"plugin": "fast", "base_url": "x", "models": {"a.b/c": {"window": 4096}}},
            "fast": {"base_url": "y"},
            "other": {"plugin": "slow"},
        }}))
        .unwrap();
        assert_eq!(["near", "fast", "none"].map(|name| components.plugin_of(name)), ["fast", "fast", "none"]);
        let further: Vec<_> = components.further_providers("fast").map(|(name, _)| name).collect();
        assert_eq!(further, ["near"]);
        assert_eq!(
            Value::Object(provider_settings(&components.providers_config["near"])),
            json!({"base_url": "x"})
        );
        assert_eq!(components.model("near", "a.b/c"), ModelSettings { window: Some(4096), max_output: None });
        assert_eq!(components.model("fast", "a.b/c"), ModelSettings::default());
    }
}
