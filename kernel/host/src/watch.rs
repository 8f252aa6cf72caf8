//! `--watch`: a plugin follows its file.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tokio::task::JoinHandle;

use super::folder::Folder;
use super::registry::Plugins;
use prx_base::clock::Clock;
use prx_base::error::{Error, Result};
use prx_base::watcher::{Changed, FolderWatcher};

/// Watches the folder for plugins until it is dropped.
pub struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Plugins {
    /// From now on a plugin follows its file: a changed one is reloaded, a new one loaded, and one whose file is
    /// gone is unloaded, or becomes the bundled one again.
    ///
    /// # Errors
    /// The folder cannot be watched; `conflict` in safe mode.
    pub fn watch(&self, clock: Clock) -> Result<Watch> {
        let folder = self.folder()?.clone();
        let watcher = FolderWatcher::new(folder.path(), clock).map_err(Error::internal)?;
        let plugins = self.clone();
        Ok(Watch(tokio::spawn(async move {
            loop {
                let files = watcher.changed(|changed| components(&folder, changed)).await;
                for name in files.iter().filter_map(|file| Folder::name_of(file)) {
                    if let Err(error) = plugins.sync_with_file(name).await {
                        tracing::warn!(plugin = name, "its file changed: {error}");
                    }
                }
            }
        })))
    }
}

/// Of the files that changed, those that are a plugin's component.
fn components(folder: &Folder, changed: Changed) -> BTreeSet<PathBuf> {
    match changed {
        Changed::Files(files) => files.into_iter().filter(|file| Folder::name_of(file).is_some()).collect(),
        Changed::Any => {
            let names = folder.list().unwrap_or_default().into_iter();
            names.map(|name| folder.component(&name)).collect()
        }
    }
}
