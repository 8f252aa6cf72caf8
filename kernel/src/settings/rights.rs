//! Which changes of the configuration take the scope `admin`. For all others, `config:write` is enough: whoever has
//! that runs no program with it, learns no secret, and lets nobody in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::secrecy::{Secrecy, Table};
use prx_base::config::keys::{COMPONENT_TABLES, KEYS};
use prx_base::config::{Changes, Components, Config, Policy, Settings, Tools, is_reference};
use prx_base::error::Result;

/// A key whose change takes `admin`, and why.
pub(super) type Guarded = (String, String);

/// Everything in a change that takes `admin`. `given` are the dotted keys that the caller sent, each with its value or
/// with a whole table.
///
/// # Errors
/// What was secret can't be read from the store.
pub(super) fn guarded(changes: Changes<'_>, given: &[String], secrecy: &Secrecy<'_>) -> Result<Vec<Guarded>> {
    let updated = changes.keys();
    let declared = KEYS.iter().filter(|key| key.guarded && updated.iter().any(|path| path == key.path));
    let mut found: Vec<Guarded> = declared.map(|key| (key.path.into(), key.about.into())).collect();
    found.extend(loosened(&changes.before.tools, &changes.after.tools));
    let [before, after] = [changes.before, changes.after].map(|config: &Config| &config.components);
    for (table, name) in updated.iter().filter_map(|path| path.split_once('.')) {
        match table {
            "channels_config" | "providers_config" | "plugins_config" => {
                let of = |components: &'_ Components| tables(components, table).get(name).cloned();
                // Whoever takes a whole table out takes its secrets with it.
                let Some(after) = of(after) else { continue };
                let before = of(before).unwrap_or_default();
                let tables = [&before, &after].map(|settings| secrecy.table(table, name, settings));
                let [before, after] = tables;
                let change =
                    TableChange { path: format!("{table}.{name}"), before: before?, after: after?, given };
                found.extend(change.guarded());
            }
            "mcp_servers" => {
                let Some(after) = after.mcp_servers.get(name) else { continue };
                let before = before.mcp_servers.get(name).cloned().unwrap_or_default();
                let why = "it says which program the gateway runs or which server it trusts, and with what";
                let keys = differing(&before, after).into_iter();
                found.extend(keys.map(|key| (format!("mcp_servers.{name}.{key}"), why.into())));
            }
            "grants" => found.push((format!("grants.{name}"), "a grant is the operator's word".into())),
            _ if COMPONENT_TABLES.contains(&table) => {
                found.push((format!("{table}.{name}"), "it is for the operator alone".into()));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn tables<'a>(components: &'a Components, table: &str) -> &'a BTreeMap<String, Settings> {
    match table {
        "channels_config" => &components.channels_config,
        "providers_config" => &components.providers_config,
        _ => &components.plugins_config,
    }
}

/// A change of a component's table.
struct TableChange<'a> {
    path: String,
    before: Table<'a>,
    after: Table<'a>,
    given: &'a [String],
}

impl TableChange<'_> {
    fn guarded(&self) -> Vec<Guarded> {
        let (before, after) = (self.before.settings, self.after.settings);
        let differing = differing(before, after);
        let mut found = Vec::new();
        for key in &differing {
            if after.get(*key).is_some_and(refers) {
                let why =
                    "env: and file: stand for what only the operator may hand out; write a value of your own";
                found.push((format!("{}.{key}", self.path), why.to_owned()));
            }
        }
        let kept: Vec<&str> = after.keys().map(String::as_str).filter(|key| self.keeps(key)).collect();
        let leads = |key: &&str| self.before.leads(key) || self.after.leads(key);
        for key in differing.iter().copied().filter(leads) {
            let others: Vec<&str> = kept.iter().copied().filter(|secret| *secret != key).collect();
            if others.is_empty() {
                continue;
            }
            let secrets = others.join(", ");
            let why = match self.before.is_known() && self.after.is_known() {
                true => format!(
                    "it says where a secret goes that is set there ({secrets}); or send that again with it"
                ),
                false => format!(
                    "no plugin is there to say which of its keys are secret ({secrets}); install it first, or send \
                     these again with it"
                ),
            };
            found.push((format!("{}.{key}", self.path), why));
        }
        found
    }

    /// Whether a key has a secret that the caller did not send along, so that it need not know it.
    fn keeps(&self, key: &str) -> bool {
        let (Some(value), true) =
            (self.after.settings.get(key), self.after.hides(key) || self.before.hides(key))
        else {
            return false;
        };
        let path = format!("{}.{key}", self.path);
        let sent = self.given.iter().any(|given| *given == self.path || *given == path);
        let empty = value.as_str().is_some_and(str::is_empty);
        !empty && (!sent || refers(value))
    }
}

/// The keys whose value is another one, or none, in the second.
fn differing<'a>(before: &'a Settings, after: &'a Settings) -> BTreeSet<&'a str> {
    let keys = before.keys().chain(after.keys()).map(String::as_str);
    keys.filter(|key| before.get(*key) != after.get(*key)).collect()
}

/// Whether a text in it stands for something else.
fn refers(value: &Value) -> bool {
    match value {
        Value::String(text) => is_reference(text),
        Value::Array(items) => items.iter().any(refers),
        Value::Object(fields) => fields.values().any(refers),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Where a model may do more with a tool than before. What holds for the names that are written down, and for those
/// that begin with one, holds for all.
fn loosened(before: &Tools, after: &Tools) -> Vec<Guarded> {
    let mut found = Vec::new();
    let mut check = |key: &str, tool: &str| {
        if strictness(after.policy_of(tool)) < strictness(before.policy_of(tool)) {
            found.push((key.to_owned(), "a model could do more with tools than before".to_owned()));
        }
    };
    check("tools.default_policy", "");
    for name in before.policy.keys().chain(after.policy.keys()) {
        let begin = name.strip_suffix('*').unwrap_or(name);
        check("tools.policy", begin);
        check("tools.policy", &format!("{begin}\0"));
    }
    found.dedup();
    found
}

fn strictness(policy: Policy) -> u8 {
    match policy {
        Policy::Allow => 0,
        Policy::Ask => 1,
        Policy::Deny => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(default_policy: Policy, policy: &[(&str, Policy)]) -> Tools {
        let policy = policy.iter().map(|(name, policy)| ((*name).to_owned(), *policy)).collect();
        Tools { default_policy, policy, ..Tools::default() }
    }

    #[test]
    fn a_policy_is_loosened_where_any_tool_is() {
        use Policy::{Allow, Ask, Deny};
        let before = tools(Ask, &[("files.*", Deny), ("files.read", Ask)]);
        let loose =
            |after: &Tools| loosened(&before, after).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert!(loose(&before).is_empty());
        assert!(loose(&tools(Deny, &[])).is_empty(), "denied is denied, whatever says so");
        assert!(loose(&tools(Ask, &[("files.*", Deny), ("web.*", Deny)])).is_empty());
        assert_eq!(loose(&tools(Ask, &[])), ["tools.policy"], "files.* is asked about now");
        assert_eq!(
            loose(&tools(Ask, &[("files.*", Deny), ("files.read", Ask), ("f*", Allow)])),
            ["tools.policy"]
        );
        let all = tools(Allow, &[("files.*", Deny), ("files.read", Ask)]);
        assert_eq!(loose(&all), ["tools.default_policy"]);
    }
}
