//! Where the code of a plugin came from, what there is to go back to, and whether its files are what was installed.

use schemars::JsonSchema;
use serde::Serialize;

use super::generation::Generation;
use super::lock::{self, Installed, Locked};
use super::registry::Plugins;
use prx_base::error::{Error, Result};
use prx_base::text::hex;

/// Where the code of a plugin came from.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Provenance {
    /// The component that serves, or would; none where nothing has been loaded.
    pub component: Option<Installed>,
    /// Those that `rollback` goes back to, newest first: the first of them is 1.
    pub earlier: Vec<Installed>,
}

impl Generation {
    /// What is noted of it, but for who put it there and when.
    pub(super) fn as_installed(&self, source: String) -> Installed {
        Installed {
            version: self.manifest.plugin.version.clone(),
            sha256: hex(&self.digest),
            size: self.size,
            source,
            installed_at: None,
            installed_by: None,
            signed_by: self.signer.map(|key| key.to_string()),
        }
    }
}

impl Plugins {
    /// Where a plugin's code came from, and what there is to go back to.
    ///
    /// # Errors
    /// `not_found`; `conflict` where `plugins.lock` can't be understood.
    pub async fn provenance(&self, name: &str) -> Result<Provenance> {
        let catalog = self.catalog();
        let entry = catalog.entry(name).ok_or_else(|| Error::not_found("Plugin", name))?;
        let Locked { installed, earlier } = match &self.0.folder {
            Some(folder) => folder.locked(name).await?,
            None => Locked::default(),
        };
        let Some(generation) = &entry.generation else {
            return Ok(Provenance { component: installed, earlier });
        };
        let source = if generation.bundled { lock::BUNDLED } else { lock::FOLDER };
        let component = generation.as_installed(source.to_owned());
        if installed.as_ref().is_some_and(|installed| installed.sha256 == component.sha256) {
            return Ok(Provenance { component: installed, earlier });
        }
        Ok(Provenance { component: Some(component), earlier: installed.into_iter().chain(earlier).collect() })
    }

    /// What of a plugin's files is not as `plugins.lock` has it, a sentence each. Reads all of them.
    ///
    /// # Errors
    /// `not_found`; `conflict` where `plugins.lock` can't be understood, and in safe mode.
    pub async fn verify(&self, name: &str) -> Result<Vec<String>> {
        let catalog = self.catalog();
        let entry = catalog.entry(name).ok_or_else(|| Error::not_found("Plugin", name))?;
        let folder = self.folder()?;
        let mut problems = folder.verify(name).await?;
        let locked = folder.locked(name).await?.installed;
        if let (Some(generation), Some(locked)) = (&entry.generation, locked) {
            let serving = hex(&generation.digest);
            if folder.has(name) && serving != locked.sha256 {
                let (noted, version) = (locked.sha256, &generation.manifest.plugin.version);
                problems.push(format!(
                    "what serves ({version}) has sha256 {serving}; plugins.lock has {noted}: `prx plugin reload {name}`"
                ));
            }
        }
        Ok(problems)
    }
}
