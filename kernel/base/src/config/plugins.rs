//! `[plugins]`: how components are looked after, and whose are taken.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[plugins]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plugins {
    /// Reload a plugin when its file changes.
    pub watch: bool,
    /// Components of each plugin that are kept to go back to, beside the one that serves.
    pub keep_generations: usize,
    /// Origins in the operator's network, or without TLS, that components may be fetched from.
    pub sources: Vec<String>,
    /// Public keys of those whose signatures are believed, by a name for each.
    pub trusted_keys: BTreeMap<String, String>,
    /// What has to be signed by one of them: `off`, `third-party` or `all`.
    pub require_signature: String,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            watch: false,
            keep_generations: 5,
            sources: Vec::new(),
            trusted_keys: BTreeMap::new(),
            require_signature: "off".into(),
        }
    }
}
