//! What is known of plugins without calling them, to check a configuration against.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::bundled::Bundled;
use super::catalog::Entry;
use super::folder::Folder;
use super::inspect::{Capability, InspectError, Inspected, inspect};
use super::manifest::Manifest;

/// A plugin whose manifest could be read.
#[derive(Debug, Clone)]
pub struct Known {
    /// What it says about itself.
    pub manifest: Arc<Manifest>,
    /// What it gives; none as long as that is not known.
    gives: Option<BTreeSet<Capability>>,
}

/// Why a file is no plugin.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// It can't be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It can't be understood.
    #[error("{0}")]
    NoPlugin(#[from] InspectError),
}

impl Known {
    /// Whether it may give this.
    pub fn may_give(&self, capability: Capability) -> bool {
        self.gives.as_ref().is_none_or(|gives| gives.contains(&capability))
    }

    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let manifest = Arc::clone(entry.manifest.as_ref()?);
        let gives = entry.generation.as_ref().map(|generation| {
            let said = &generation.description;
            let all = [
                (Capability::Channel, said.connector),
                (Capability::Agent, said.agent),
                (Capability::Job, said.job),
                (Capability::Observer, said.observes.is_some()),
                (Capability::Route, said.route),
                (Capability::Filter, said.filters.is_some()),
                (Capability::Provider, said.models.is_some()),
                (Capability::Tool, !said.tools.is_empty()),
                (Capability::Skill, !said.skills.is_empty()),
            ];
            all.into_iter().filter_map(|(capability, given)| given.then_some(capability)).collect()
        });
        Some(Self { manifest, gives })
    }

    fn inspected(bytes: &[u8]) -> Result<Self, Unknown> {
        Ok(inspect(bytes)?.into())
    }
}

impl From<Inspected> for Known {
    fn from(found: Inspected) -> Self {
        Self { manifest: Arc::new(found.manifest), gives: Some(found.capabilities) }
    }
}

/// The plugins that a gateway on this data directory would load, by name. Nothing is run.
pub fn on_disk(bundled: Bundled, data_dir: &Path) -> BTreeMap<String, Result<Known, Unknown>> {
    let bundled = bundled.all().map(|(name, bytes)| (name.to_owned(), Known::inspected(bytes)));
    let files = fs::read_dir(data_dir.join("plugins")).into_iter().flatten().flatten();
    let added = files.filter_map(|file| {
        let path = file.path();
        let known = || Known::inspected(&fs::read(&path)?);
        Some((Folder::name_of(&path)?.to_owned(), known()))
    });
    bundled.chain(added).collect()
}
