//! What a channel is made of: its table in the configuration, held against its plugin's manifest.

use std::sync::Arc;

use serde_json::Value;

use crate::config::Settings;
use crate::egress::Policy;
use crate::plugin::Generation;
use crate::plugin::manifest::{Manifest, PluginConfig};

/// A channel's configuration as its pump uses it.
pub(super) struct Setup {
    pub(super) name: String,
    settings: Settings,
    /// For the connector: JSON, defaults filled in, without secrets.
    pub(super) config: String,
    /// Where its requests may go, and which secrets may be put into them.
    pub(super) policy: Arc<Policy>,
    /// An operation whose outcome is unknown is given up rather than sent once more.
    pub(super) drop_unknown: bool,
    /// A new message in a conversation stops what is still being answered there.
    pub(super) interrupts: bool,
}

/// Whether a new message stops the turn at work. The kernel's own key: no manifest declares it.
const INTERRUPTS: &str = "interrupt_on_new_message";

impl Setup {
    /// Checks a channel's table against the manifest of the code that is to serve it.
    ///
    /// # Errors
    /// The table does not fit; says each key and what to do.
    pub(super) fn new(name: &str, settings: &Settings, generation: &Generation) -> Result<Self, String> {
        if !generation.description.connector {
            return Err(format!("plugin {} gives no connector: name another in `plugin`", generation.name()));
        }
        let drop_unknown = settings.get("on_unknown").and_then(Value::as_str) == Some("drop");
        let interrupts = settings.get(INTERRUPTS).and_then(Value::as_bool).unwrap_or_default();
        let checked = check(settings, &generation.manifest).map_err(|problems| problems.join("; "))?;
        let policy = Arc::new(generation.policy(&checked));
        Ok(Self {
            name: name.into(),
            settings: settings.clone(),
            config: checked.json,
            policy,
            drop_unknown,
            interrupts,
        })
    }

    /// The same table, for other code.
    ///
    /// # Errors
    /// As for [`Setup::new`].
    pub(super) fn renew(&self, generation: &Generation) -> Result<Self, String> {
        Self::new(&self.name, &self.settings, generation)
    }
}

/// Holds a channel's table against the manifest of its plugin.
///
/// # Errors
/// Everything that is wrong, each naming its key and what to do about it.
pub fn check(settings: &Settings, manifest: &Manifest) -> Result<PluginConfig, Vec<String>> {
    let mut settings = settings.clone();
    settings.remove("plugin");
    match settings.remove(INTERRUPTS) {
        Some(wrong) if !wrong.is_boolean() => {
            Err(vec![format!("{INTERRUPTS}: takes true or false, not {wrong}")])
        }
        _ => manifest.check_config(&settings),
    }
}

/// The plugin that serves a channel: the one its table names, or the one of its own name.
pub fn plugin<'a>(name: &'a str, settings: &'a Settings) -> &'a str {
    settings.get("plugin").and_then(Value::as_str).unwrap_or(name)
}
