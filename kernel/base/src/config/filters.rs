//! Filters: which ones are asked, in which order, and what becomes of what they should have seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[filters]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filters {
    /// The plugins that are asked, in this order; no other one is.
    pub order: Vec<String>,
    /// `[filters.<plugin>]`
    #[serde(flatten)]
    pub plugins: BTreeMap<String, FilterSettings>,
}

/// `[filters.<plugin>]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilterSettings {
    /// What becomes of what it should have seen, where it fails or does not run.
    pub on_error: OnError,
    /// Milliseconds that it has for each.
    pub deadline_ms: u64,
}

impl Default for FilterSettings {
    fn default() -> Self {
        Self { on_error: OnError::Refuse, deadline_ms: 5_000 }
    }
}

/// What becomes of what a filter should have seen, and has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It goes no further.
    Refuse,
    /// It goes on as if the filter were not there.
    Pass,
}

impl Filters {
    /// What the operator says of a filter.
    pub fn of(&self, plugin: &str) -> FilterSettings {
        self.plugins.get(plugin).cloned().unwrap_or_default()
    }
}
