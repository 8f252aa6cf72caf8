//! What is secret in the tables of components: what a manifest says, and what any manifest of that name ever said.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use prx_base::config::{Settings, provider_plugin};
use prx_base::error::Result;
use prx_host::manifest::{Key, Manifest};
use prx_host::{Known, Plugins};

/// Knows the plugins there are, and those there were.
pub(super) struct Secrecy<'a> {
    known: BTreeMap<String, Known>,
    once_secret: OnceSecret<'a>,
}

/// The keys of a plugin that ever were secret.
type OnceSecret<'a> = Box<dyn Fn(&str) -> Result<BTreeSet<String>> + 'a>;

/// A component's table, and what is known of its keys.
pub(super) struct Table<'a> {
    pub(super) settings: &'a Settings,
    manifest: Option<&'a Manifest>,
    once_secret: BTreeSet<String>,
    /// It may name its plugin.
    names_plugin: bool,
}

impl<'a> Secrecy<'a> {
    pub(super) fn of(plugins: &'a Plugins) -> Self {
        Self::new(plugins.known(), |name| plugins.once_secret(name))
    }

    pub(super) fn new(
        known: BTreeMap<String, Known>,
        once_secret: impl Fn(&str) -> Result<BTreeSet<String>> + 'a,
    ) -> Self {
        Self { known, once_secret: Box::new(once_secret) }
    }

    /// One of a component's tables.
    ///
    /// # Errors
    /// The store can't be read.
    pub(super) fn table<'b>(
        &'b self,
        section: &str,
        name: &'b str,
        settings: &'b Settings,
    ) -> Result<Table<'b>> {
        let plugin = match section {
            "channels_config" => prx_channels::plugin(name, settings),
            "providers_config" => provider_plugin(name, settings),
            _ => name,
        };
        let names_plugin = section != "plugins_config";
        let manifest = self.known.get(plugin).map(|known| known.manifest.as_ref());
        Ok(Table { settings, manifest, once_secret: (self.once_secret)(plugin)?, names_plugin })
    }
}

impl Table<'_> {
    /// Whether its plugin is there to say what its keys are.
    pub(super) fn is_known(&self) -> bool {
        self.manifest.is_some() || self.settings.is_empty()
    }

    /// Whether a key is a secret for all that is known.
    pub(super) fn is_secret(&self, key: &str) -> bool {
        self.once_secret.contains(key) || self.declared(key).is_some_and(|key| key.secret)
    }

    /// Whether its plugin takes a key.
    pub(super) fn is_declared(&self, key: &str) -> bool {
        self.declared(key).is_some()
    }

    /// Whether a key may be a secret: where no plugin is there to say so, any text may be.
    pub(super) fn hides(&self, key: &str) -> bool {
        self.is_secret(key) || (!self.is_known() && self.has_text(key))
    }

    /// Whether a key may say where secrets go.
    pub(super) fn leads(&self, key: &str) -> bool {
        let extends = self.declared(key).is_some_and(|key| key.extends.is_some());
        extends || (self.names_plugin && key == "plugin") || (!self.is_known() && self.has_text(key))
    }

    fn declared(&self, key: &str) -> Option<&Key> {
        self.manifest.and_then(|manifest| manifest.config.get(key)).map(|key| key.get_ref())
    }

    fn has_text(&self, key: &str) -> bool {
        self.settings.get(key).is_some_and(has_text)
    }
}

fn has_text(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Array(items) => items.iter().any(has_text),
        Value::Object(fields) => fields.values().any(has_text),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
