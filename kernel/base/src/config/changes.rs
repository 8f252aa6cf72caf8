//! What differs between two configurations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::keys::{COMPONENT_TABLES, KEYS};
use super::sections::Config;

/// What differs between the configuration that was and the one that is to be.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// The one that was.
    pub before: &'a Config,
    /// The one that is to be.
    pub after: &'a Config,
}

impl<'a> Changes<'a> {
    /// The dotted keys whose value differs; a component's table counts as one.
    pub fn keys(&self) -> Vec<String> {
        let plain = |config| serde_json::to_value::<&Config>(config).unwrap_or_default();
        let (before, after) = (plain(self.before), plain(self.after));
        let keys = KEYS.iter().filter(|key| {
            let pointer = format!("/{}", key.path.replace('.', "/"));
            before.pointer(&pointer) != after.pointer(&pointer)
        });
        let tables = COMPONENT_TABLES.iter().flat_map(|table| {
            let names = |config: &Value| config[table].as_object().cloned().unwrap_or_default();
            let (before, after) = (names(&before), names(&after));
            let names: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
            let differ = names.into_iter().filter(move |name| before.get(name) != after.get(name));
            differ.map(move |name| format!("{table}.{name}"))
        });
        keys.map(|key| key.path.to_owned()).chain(tables).collect()
    }

    /// Whether one of these keys is only felt after a restart.
    pub fn need_restart(updated: &[String]) -> bool {
        KEYS.iter().any(|key| key.restart && updated.iter().any(|updated| updated == key.path))
    }

    /// The plugins whose settings or grants differ.
    pub fn plugins(&self) -> BTreeSet<&'a str> {
        let (before, after) = (&self.before.components, &self.after.components);
        let givers = |name: &'a str| [name, before.plugin_of(name), after.plugin_of(name)];
        differing(&before.plugins_config, &after.plugins_config)
            .chain(differing(&before.providers_config, &after.providers_config).flat_map(givers))
            .chain(differing(&before.grants, &after.grants))
            .collect()
    }

    /// The tables of one kind that are new or differ, by name.
    pub fn tables<T: PartialEq + 'a>(
        self,
        of: impl Fn(&'a Config) -> &'a BTreeMap<String, T>,
    ) -> impl Iterator<Item = (&'a str, &'a T)> {
        let (before, after) = (of(self.before), of(self.after));
        let differ = after.iter().filter(move |(name, table)| before.get(*name) != Some(*table));
        differ.map(|(name, table)| (name.as_str(), table))
    }
}

fn differing<'a, T: PartialEq>(
    before: &'a BTreeMap<String, T>,
    after: &'a BTreeMap<String, T>,
) -> impl Iterator<Item = &'a str> {
    let names = before.keys().chain(after.keys());
    names.filter(move |name| before.get(*name) != after.get(*name)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_and_tables_that_differ_are_named() {
        let config = |value: Value| serde_json::from_value::<Config>(value).unwrap();
        let before = config(json!({
            "agent": {"max_turns": 3},
            "plugins_config": {"same": {"a": 1}, "gone": {}},
        }));
        let after = config(json!({
            "gateway": {"port": 1},
            "plugins_config": {"same": {"a": 1}, "new": {}},
            "grants": {"other": {"files": true}},
        }));
        let changes = Changes { before: &before, after: &after };
        let keys = changes.keys();
        assert_eq!(
            keys,
            ["gateway.port", "agent.max_turns", "plugins_config.gone", "plugins_config.new", "grants.other"]
        );
        assert!(Changes::need_restart(&keys) && !Changes::need_restart(&keys[1..]));
        assert_eq!(changes.plugins().into_iter().collect::<Vec<_>>(), ["gone", "new", "other"]);
        let tables: Vec<_> = changes.tables(|config| &config.components.plugins_config).collect();
        assert_eq!(tables.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["new"]);
    }
}
