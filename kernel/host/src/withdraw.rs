//! Takes back a generation whose channels can't run: the code before serves again.

use std::sync::Arc;

use serde_json::json;

use super::catalog::Entry;
use super::folder::Kept;
use super::generation::Generation;
use super::load::digest;
use super::registry::Plugins;
use prx_base::error::Result;
use prx_base::events::Kind;

impl Plugins {
    /// Puts the code before in the place of a generation that its channels could not run, also in the plugin's
    /// file; `rollback` then leads to the withdrawn one. Does nothing when other code serves by now.
    pub async fn withdraw(&self, withdrawn: Arc<Generation>, before: Arc<Generation>, reason: String) {
        let name = before.name().to_owned();
        let done = self.run(&name, |plugins, name| async move {
            plugins.withdraw_now(&name, &withdrawn, &before, &reason).await
        });
        if let Err(error) = done.await {
            tracing::error!(plugin = name, "the code before can't be put back: {error}");
        }
    }

    async fn withdraw_now(
        &self,
        name: &str,
        withdrawn: &Arc<Generation>,
        before: &Arc<Generation>,
        reason: &str,
    ) -> Result<()> {
        let _changing = self.0.changing.lock().await;
        let holds = |entry: &Entry| {
            entry.generation.as_ref().is_some_and(|generation| Arc::ptr_eq(generation, withdrawn))
        };
        if !self.catalog().entry(name).is_some_and(holds) {
            return Ok(());
        }
        self.check_conflicts(before)?;
        self.put_file_back(name, withdrawn, before).await?;
        self.forget_secrets(&withdrawn.manifest, &before.manifest).await?;
        self.change(name, |entry| {
            let (generation, manifest) = (Some(Arc::clone(before)), Some(Arc::clone(&before.manifest)));
            let error = Some(reason.to_owned());
            holds(&entry).then(|| Entry { generation, manifest, before: None, error, ..entry })
        });
        let (from, to) = (withdrawn.number, before.number);
        tracing::warn!(plugin = name, from, to, "withdrawn: {reason}");
        self.publish(Kind::PluginFailed, name, json!({ "reason": reason, "withdrawn": from }));
        Ok(())
    }

    /// A file that is another one by now is the operator's and stays as it is.
    async fn put_file_back(&self, name: &str, withdrawn: &Generation, before: &Generation) -> Result<()> {
        let Some(folder) = &self.0.folder else { return Ok(()) };
        let Some(file) = folder.read(name).await? else { return Ok(()) };
        if withdrawn.digest == before.digest || digest(file).await? != withdrawn.digest {
            return Ok(());
        }
        if before.bundled {
            return folder.unlink(name).await;
        }
        match folder.earlier(name, 1).await? {
            Some(Kept { bytes, record }) if digest(bytes.clone()).await? == before.digest => {
                folder.write(name, bytes.clone()).await?;
                let keep = self.0.base.config.current().plugins.keep_generations;
                folder.loaded(name, bytes, record, keep).await.map(drop)
            }
            _ => {
                tracing::warn!(plugin = name, "the file of the code before is gone; the next start fails");
                Ok(())
            }
        }
    }
}
