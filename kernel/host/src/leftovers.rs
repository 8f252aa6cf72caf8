//! What a plugin leaves behind when it is removed: its storage, its files, what it was granted and its settings. All that is
//! kept by its name, and so whoever takes that name next would have it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::manifest::{About, format_size, valid_name};
use super::registry::Plugins;
use super::signature::PublicKey;
use prx_base::error::{Error, Result};
use prx_base::text::hex;

/// What was erased of a plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Purged {
    /// Keys of its storage.
    pub kv_keys: u64,
    /// Bytes in them, and in their values.
    pub kv_bytes: u64,
    /// Whether it had files in its private directory.
    pub files: bool,
    /// Its configuration keys that were known to be secret.
    pub secrets: Vec<String>,
    /// The key that held its name.
    pub key: Option<String>,
    /// Tables of the configuration that were about it.
    pub config: Vec<String>,
}

impl Plugins {
    /// Erases what is kept of a plugin that is not installed, or is so as the bundled one: its storage, its files, its grants
    /// in the store, and who held its name. Its tables in the configuration are for whoever writes that.
    ///
    /// # Errors
    /// `not_found` for what can be no plugin's name; or the disk fails.
    pub async fn purge(&self, name: &str) -> Result<Purged> {
        if !valid_name(name) {
            return Err(Error::not_found("Plugin", name));
        }
        self.run(name, |plugins, name| async move {
            let store = &plugins.0.store;
            let record = store.plugin(&name)?.unwrap_or_default();
            let kv_bytes = store.kv_used(&name)?;
            let kv_keys = store.kv_erase(&name).await?;
            let folder = plugins.private_folder(&name);
            let removed = tokio::task::spawn_blocking(move || {
                let had_files = has_entries(&folder)?;
                match fs::remove_dir_all(&folder) {
                    Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                    _ => Ok(had_files),
                }
            });
            let files = removed.await.map_err(Error::internal)?.map_err(Error::internal)?;
            store.forget_plugin(&name).await?;
            let secrets = record.secrets.into_iter().collect();
            Ok(Purged { kv_keys, kv_bytes, files, secrets, key: record.key, config: Vec::new() })
        })
        .await
    }

    /// Whether new code may have what removed code of its name has left: where it is the same code or signed by the same key,
    /// or there is nothing.
    ///
    /// # Errors
    /// `conflict`: what there is, and how to hand it over or to erase it.
    pub(super) async fn check_heir(
        &self,
        about: &About,
        digest: [u8; 32],
        signer: Option<PublicKey>,
    ) -> Result<()> {
        let About { name, version, .. } = about;
        let record = self.0.store.plugin(name)?.unwrap_or_default();
        let same_key =
            signer.is_some_and(|signer| record.key.as_ref().is_some_and(|key| *key == signer.to_string()));
        if record.removed.is_empty() || record.removed.contains(&hex(&digest)) || same_key {
            return Ok(());
        }
        let left = self.left_behind(name).await?;
        if left.is_empty() {
            return Ok(());
        }
        let left = left.join(", ");
        let message = format!(
            "Plugin {name}: one of this name was removed and has left {left}; nothing shows that {version} is its successor. \
             `prx plugin remove {name} --purge` erases that, and `prx plugin install FILE --inherit` (?inherit=true) hands it \
             over"
        );
        Err(Error::conflict(message).with_details(json!({ "plugin": name, "left": left })))
    }

    async fn left_behind(&self, name: &str) -> Result<Vec<String>> {
        let bytes = self.0.store.kv_used(name)?;
        let folder = self.private_folder(name);
        let files = tokio::task::spawn_blocking(move || has_entries(&folder)).await;
        let files = files.map_err(Error::internal)?.map_err(Error::internal)?;
        let tables = self.0.base.config.current().components.tables_of(name);
        let kept = [
            (bytes > 0).then(|| format!("{} of storage", format_size(bytes))),
            files.then(|| "files".to_owned()),
        ];
        let tables = tables.iter().map(|table| format!("[{table}]"));
        Ok(kept.into_iter().flatten().chain(tables).collect())
    }

    fn private_folder(&self, name: &str) -> PathBuf {
        self.0.data_dir.join("files").join(name)
    }
}

fn has_entries(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
