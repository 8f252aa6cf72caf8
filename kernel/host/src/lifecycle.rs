//! The verbs that change a plugin: reload, install, roll back, enable, disable, remove. Each is all or nothing, and leaves
//! the code that serves alone until its replacement has answered. Until then what a caller has asked for ends when it is
//! dropped; from then on it goes on by itself.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;

use super::candidate::{Candidate, Origin};
use super::catalog::{Delivery, Entry, Placed, PluginStatus, Status};
use super::folder::Folder;
use super::inspect::Inspected;
use super::load::{digest, examine};
use super::manifest::Manifest;
use super::placing::File;
use super::registry::Plugins;
use super::versions;
use prx_base::error::{Error, Result};
use prx_base::events::Kind;
use prx_base::text::hex;
use prx_store::PluginRecord;

impl Plugins {
    /// Loads a plugin again from its file, or from the gateway if it came with it.
    ///
    /// # Errors
    /// `not_found`; `bad_request` for bytes that are no component; otherwise `conflict` with the reason. The
    /// code that served goes on serving.
    pub async fn reload(&self, name: &str) -> Result<Placed> {
        let held = self.lock(name).await;
        self.installed(name)?;
        self.reload_for_caller(name, held).await
    }

    /// Takes a component in: as a new plugin without a name, as a new version of the one of that name with one.
    ///
    /// # Errors
    /// As [`Plugins::reload`], and `conflict` when a new plugin's name is taken, or the version is lower than the one that
    /// is installed. Nothing has changed then.
    pub async fn install(&self, name: Option<&str>, bytes: Bytes, delivery: Delivery) -> Result<Placed> {
        let (offered, digest) = examine(bytes.clone()).await?;
        let said = offered.manifest.plugin.name.clone();
        if name.is_some_and(|name| name != said) {
            return Err(Error::conflict(format!("This component says that it is {said}")));
        }
        let held = self.lock(&said).await;
        self.folder()?;
        if name.is_none() && self.installed(&said).is_ok() {
            let message = format!("Plugin {said} is there already; PUT /plugins/{said} replaces it");
            return Err(Error::conflict(message).with_details(json!({ "plugin": said })));
        }
        self.check_offer(&offered, digest, &delivery).await?;
        self.put(&said, Candidate { bytes, origin: Origin::Delivered(delivery) }, held).await
    }

    /// Takes a plugin out of service, until it is enabled, also over restarts. Calls under way finish.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn disable(&self, name: &str) -> Result<PluginStatus> {
        self.verb(name, |plugins, name| async move {
            plugins.set_disabled(&name, true).await?;
            if plugins.change(&name, |entry| Some(Entry { status: Status::Disabled, ..entry })) {
                plugins.publish(Kind::PluginDisabled, &name, json!({}));
            }
            Ok(())
        })
        .await
    }

    /// Brings a disabled plugin back, and tries a failed one again.
    ///
    /// # Errors
    /// As [`Plugins::reload`], and `conflict` when another plugin has taken one of its capabilities.
    pub async fn enable(&self, name: &str) -> Result<PluginStatus> {
        let held = self.lock(name).await;
        self.installed(name)?;
        let has_code = self.catalog().entry(name).is_some_and(|entry| entry.generation.is_some());
        if has_code {
            let (plugins, name) = (self.clone(), name.to_owned());
            go_on(held, async move { plugins.enable_now(&name).await }).await?;
        } else {
            self.set_disabled(name, false).await?;
            self.change(name, |entry| Some(Entry { status: Status::Failed, ..entry }));
            self.reload_for_caller(name, held).await?;
        }
        self.get(name)
    }

    /// Goes back to the component that served before the one in the file, or to the `n`th before it.
    ///
    /// # Errors
    /// As [`Plugins::reload`], and `conflict` when there is none to go back to, or it is no longer what it was.
    pub async fn rollback(&self, name: &str, n: usize) -> Result<Placed> {
        let held = self.lock(name).await;
        self.installed(name)?;
        let Some(kept) = self.folder()?.earlier(name, n).await? else {
            let message = match n {
                1 => format!("Plugin {name}: there is no earlier component to go back to"),
                n => format!(
                    "Plugin {name}: there are not {n} earlier components; `prx plugin show {name}` lists them"
                ),
            };
            return Err(Error::conflict(message));
        };
        let candidate = Candidate { bytes: kept.bytes, origin: Origin::Kept(kept.record) };
        self.put(name, candidate, held).await
    }

    /// Takes a plugin and its file away. Where the file stood in for a bundled plugin, that one is back and is
    /// what is answered with.
    ///
    /// # Errors
    /// `not_found`; `conflict` for a bundled plugin.
    pub async fn remove(&self, name: &str) -> Result<Option<PluginStatus>> {
        self.run(name, |plugins, name| async move {
            plugins.installed(&name)?;
            plugins.remove_now(&name).await
        })
        .await?;
        Ok(self.catalog().show(name))
    }

    /// Brings a plugin under the settings and grants in force. One that can't run under them stops serving, for
    /// what was taken from it must not go on working.
    ///
    /// # Errors
    /// Why it can't.
    pub async fn relink(&self, name: &str) -> Result<()> {
        self.run(name, |plugins, name| async move {
            if plugins.installed(&name).is_err() {
                return Ok(());
            }
            let outcome = plugins.reload_now(&name).await.map(drop);
            if let Err(error) = &outcome
                && !plugins.fall_back(&name, error).await
            {
                plugins.change(&name, |entry| {
                    let disabled = entry.status == Status::Disabled;
                    let status = if disabled { Status::Disabled } else { Status::Failed };
                    Some(Entry { status, generation: None, ..entry })
                });
                plugins.publish(Kind::PluginFailed, &name, json!({ "reason": error.to_string() }));
            }
            outcome
        })
        .await
    }

    /// Brings a plugin in line with its file, which has changed, appeared or gone.
    pub(super) async fn sync_with_file(&self, name: &str) -> Result<()> {
        self.run(name, |plugins, name| async move {
            let file = plugins.folder()?.read(&name).await?;
            let catalog = plugins.catalog();
            let generation = catalog.entry(&name).and_then(|entry| entry.generation.as_ref());
            match (file, generation) {
                (Some(bytes), Some(generation)) if generation.digest == digest(bytes.clone()).await? => {
                    plugins.change(&name, |entry| Some(Entry { error: None, ..entry }));
                    Ok(())
                }
                (Some(_), _) => plugins.reload_now(&name).await.map(drop),
                (None, Some(generation)) if generation.bundled => {
                    plugins.change(&name, |entry| Some(Entry { error: None, ..entry }));
                    Ok(())
                }
                (None, _) if catalog.entry(&name).is_none() => Ok(()),
                (None, _) => {
                    plugins.remove_now(&name).await?;
                    plugins.edited("plugin.removed", &name, Value::Null).await;
                    Ok(())
                }
            }
        })
        .await
    }

    /// As [`Plugins::reload_now`], ending with its caller until the new code has answered.
    async fn reload_for_caller(&self, name: &str, held: OwnedMutexGuard<()>) -> Result<Placed> {
        let candidate = self.candidate(name).await?;
        let prepared = self.prepare(name, candidate).await;
        let (plugins, name) = (self.clone(), name.to_owned());
        go_on(held, async move { plugins.place(&name, prepared).await }).await
    }

    async fn reload_now(&self, name: &str) -> Result<Placed> {
        let candidate = self.candidate(name).await?;
        let prepared = self.prepare(name, candidate).await;
        self.place(name, prepared).await
    }

    /// Whether the operator has put a file in place for this plugin.
    pub fn has_file(&self, name: &str) -> bool {
        self.0.folder.as_ref().is_some_and(|folder| folder.has(name))
    }

    async fn enable_now(&self, name: &str) -> Result<()> {
        let catalog = self.catalog();
        let Some(entry) = catalog.entry(name) else { return Err(Error::not_found("Plugin", name)) };
        let Some(generation) = entry.generation.as_ref().filter(|_| entry.status != Status::Loaded) else {
            return Ok(());
        };
        let _changing = self.0.changing.lock().await;
        self.check_conflicts(generation)?;
        self.set_disabled(name, false).await?;
        generation.reset_failures();
        self.change(name, |entry| Some(Entry { status: Status::Loaded, ..entry }));
        self.publish(Kind::PluginLoaded, name, json!({}));
        Ok(())
    }

    async fn remove_now(&self, name: &str) -> Result<()> {
        let Some(bytes) = self.0.bundled.find(name) else {
            let folder = self.folder()?;
            let files = folder.kept(name).await?;
            folder.remove(name).await?;
            let mut removed = BTreeSet::new();
            for file in files {
                let digest = digest(file).await?;
                removed.insert(hex(&digest));
                self.0.engine.forget(digest).await;
            }
            // Its settings may still be there, and who takes its name next is not who they were for.
            let PluginRecord { secrets, key, .. } = self.0.store.plugin(name)?.unwrap_or_default();
            let record =
                PluginRecord { name: name.to_owned(), secrets, key, removed, ..PluginRecord::default() };
            self.0.store.put_plugin(record).await?;
            self.0.catalog.rcu(|catalog| Arc::new(catalog.with(name, None)));
            self.notify_channels(name);
            self.publish(Kind::PluginDisabled, name, json!({ "removed": true }));
            return Ok(());
        };
        let bundled_serves = |entry: &Entry| entry.generation.as_ref().is_some_and(|serving| serving.bundled);
        if self.catalog().entry(name).is_some_and(bundled_serves) && !self.has_file(name) {
            return Err(Error::conflict(format!("Plugin {name} came with the gateway; disable it instead")));
        }
        let candidate = Candidate { bytes: bytes.into(), origin: Origin::Bundled };
        let prepared = self.prepare(name, candidate).await.map_err(|refusal| refusal.error)?;
        self.commit(prepared, File::Removed).await.map(drop)
    }

    /// Loads a component and makes it the plugin's file.
    async fn put(&self, name: &str, candidate: Candidate, held: OwnedMutexGuard<()>) -> Result<Placed> {
        let prepared = self.prepare(name, candidate).await.map_err(|refusal| refusal.error)?;
        let plugins = self.clone();
        go_on(held, async move { plugins.commit(prepared, File::Written).await }).await
    }

    async fn set_disabled(&self, name: &str, disabled: bool) -> Result<()> {
        let store = &self.0.store;
        let record = store.plugin(name)?.unwrap_or_default();
        store.put_plugin(PluginRecord { name: name.to_owned(), disabled, ..record }).await
    }

    pub(super) fn folder(&self) -> Result<&Folder> {
        let safe_mode = || Error::conflict("The gateway runs in safe mode: only what came with it is loaded");
        self.0.folder.as_ref().ok_or_else(safe_mode)
    }

    /// Whether a component may follow what is installed under its name, or was.
    ///
    /// # Errors
    /// `conflict`: what keeps it, and how to have it all the same.
    pub(super) async fn check_offer(
        &self,
        offered: &Inspected,
        digest: [u8; 32],
        delivery: &Delivery,
    ) -> Result<()> {
        let about = &offered.manifest.plugin;
        match self.installed_as(&about.name) {
            Some(installed) if !delivery.downgrade => versions::check_upgrade(&installed.plugin, about),
            None if !delivery.inherit => self.check_heir(about, digest, offered.signer).await,
            _ => Ok(()),
        }
    }

    /// The manifest of the code of this name that serves, or would.
    fn installed_as(&self, name: &str) -> Option<Arc<Manifest>> {
        let catalog = self.catalog();
        let entry = catalog.entry(name)?;
        let serving = entry.generation.as_ref().map(|generation| Arc::clone(&generation.manifest));
        serving.or_else(|| entry.manifest.clone())
    }

    fn installed(&self, name: &str) -> Result<()> {
        self.catalog().entry(name).map(drop).ok_or_else(|| Error::not_found("Plugin", name))
    }

    /// A verb on a plugin that is there, and the plugin's status after it.
    async fn verb<F>(
        &self,
        name: &str,
        work: impl FnOnce(Self, String) -> F + Send + 'static,
    ) -> Result<PluginStatus>
    where
        F: Future<Output = Result<()>> + Send,
    {
        self.run(name, |plugins, name| async move {
            plugins.installed(&name)?;
            work(plugins, name).await
        })
        .await?;
        self.get(name)
    }

    /// Runs one thing at a time for a plugin, and to its end: whoever asked may go away meanwhile.
    pub(super) async fn run<F, R>(&self, name: &str, work: impl FnOnce(Self, String) -> F) -> Result<R>
    where
        F: Future<Output = Result<R>> + Send + 'static,
        R: Send + 'static,
    {
        let held = self.lock(name).await;
        go_on(held, work(self.clone(), name.to_owned())).await
    }

    /// Waits until no verb of this plugin is under way; none begins until the guard is dropped.
    async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.verb_locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(name.to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}

/// Runs `work` to its end in a task of its own, which holds the plugin's lock.
async fn go_on<R: Send + 'static>(
    held: OwnedMutexGuard<()>,
    work: impl Future<Output = Result<R>> + Send + 'static,
) -> Result<R> {
    let done = tokio::spawn(async move {
        let _held = held;
        work.await
    });
    done.await.map_err(Error::internal)?
}
