//! The verbs that change a plugin: reload, install, roll back, enable, disable, remove. Each is all or nothing, and leaves
//! the code that serves alone until its replacement has answered. Until then what a caller has asked for ends when it is
//! dropped; from then on it goes on by itself.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;

use super::catalog::{Entry, Placed, PluginStatus, Status};
use super::folder::{Folder, Loaded};
use super::generation::Generation;
use super::load::{Candidate, Refusal, Terms, digest, examine, load};
use super::registry::Plugins;
use prx_base::error::{Error, Result};
use prx_base::events::Kind;
use prx_store::{Deed, PluginRecord};

/// What becomes of a plugin's file when a candidate is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    /// The candidate came from where it is.
    Stays,
    /// The candidate is written in its place.
    Written,
    /// The candidate is the bundled one; the file that was in its place goes.
    Removed,
}

/// A generation that has answered, and what it was made of.
pub(super) struct Prepared {
    generation: Arc<Generation>,
    candidate: Candidate,
}

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
    /// As [`Plugins::reload`], and `conflict` when a new plugin's name is taken. Nothing has changed then.
    pub async fn install(&self, name: Option<&str>, bytes: Bytes) -> Result<Placed> {
        let said = examine(bytes.clone()).await?.0.manifest.plugin.name;
        if name.is_some_and(|name| name != said) {
            return Err(Error::conflict(format!("This component says that it is {said}")));
        }
        let held = self.lock(&said).await;
        self.folder()?;
        if name.is_none() && self.installed(&said).is_ok() {
            let message = format!("Plugin {said} is there already; PUT /plugins/{said} replaces it");
            return Err(Error::conflict(message).with_details(json!({ "plugin": said })));
        }
        self.put(&said, bytes, held).await
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

    /// Goes back to the component that served before the one in the file.
    ///
    /// # Errors
    /// As [`Plugins::reload`], and `conflict` when there is none to go back to.
    pub async fn rollback(&self, name: &str) -> Result<Placed> {
        let held = self.lock(name).await;
        self.installed(name)?;
        let Some(bytes) = self.folder()?.earlier(name).await? else {
            let message = format!("Plugin {name}: there is no earlier component to go back to");
            return Err(Error::conflict(message));
        };
        self.put(name, bytes, held).await
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

    /// Puts what was made of a plugin's present component in service, or records why there is nothing.
    pub(super) async fn place(&self, name: &str, prepared: Result<Prepared, Refusal>) -> Result<Placed> {
        let refusal = match prepared {
            Ok(prepared) => match self.commit(prepared, File::Stays).await {
                Ok(placed) => return Ok(placed),
                Err(error) => Refusal { manifest: None, error },
            },
            Err(refusal) => refusal,
        };
        self.record_failure(name, &refusal);
        Err(refusal.error)
    }

    /// Has a bundled plugin serve whose file can't. Returns whether it does.
    pub(super) async fn fall_back(&self, name: &str, reason: &Error) -> bool {
        let Some(bytes) = self.0.bundled.find(name) else { return false };
        if !self.has_file(name) {
            return false;
        }
        let candidate = Candidate { bytes: bytes.into(), bundled: true };
        let Ok(prepared) = self.prepare(name, candidate).await else { return false };
        let placed = self.commit(prepared, File::Stays).await;
        let reason = format!("its file is not used, and what came with the gateway serves instead: {reason}");
        placed.is_ok() && self.change(name, |entry| Some(Entry { error: Some(reason.clone()), ..entry }))
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
            let files = [folder.read(name).await?, folder.earlier(name).await?];
            folder.remove(name).await?;
            for file in files.into_iter().flatten() {
                self.0.engine.forget(digest(file).await?).await;
            }
            // Its settings may still be there, and who takes its name next is not who they were for.
            let secrets = self.0.store.plugin(name)?.map(|record| record.secrets).unwrap_or_default();
            let record = PluginRecord { name: name.to_owned(), secrets, ..PluginRecord::default() };
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
        let candidate = Candidate { bytes: bytes.into(), bundled: true };
        let prepared = self.prepare(name, candidate).await.map_err(|refusal| refusal.error)?;
        self.commit(prepared, File::Removed).await.map(drop)
    }

    /// Loads a component and makes it the plugin's file.
    async fn put(&self, name: &str, bytes: Bytes, held: OwnedMutexGuard<()>) -> Result<Placed> {
        let candidate = Candidate { bytes, bundled: false };
        let prepared = self.prepare(name, candidate).await.map_err(|refusal| refusal.error)?;
        let plugins = self.clone();
        go_on(held, async move { plugins.commit(prepared, File::Written).await }).await
    }

    /// Writes into the audit log what someone has done to a plugin's file, without the gateway.
    async fn edited(&self, action: &str, name: &str, details: Value) {
        if let Err(error) = self.0.store.record_audit(Deed::of_file(action, name, details)).await {
            tracing::error!(plugin = name, %error, "a change of its file is not in the audit log");
        }
    }

    /// The component that a plugin is loaded from.
    pub(super) async fn candidate(&self, name: &str) -> Result<Candidate> {
        let file = match &self.0.folder {
            Some(folder) => folder.read(name).await?,
            None => None,
        };
        match (file, self.0.bundled.find(name)) {
            (Some(bytes), _) => Ok(Candidate { bytes, bundled: false }),
            (None, Some(bytes)) => Ok(Candidate { bytes: bytes.into(), bundled: true }),
            (None, None) => Err(Error::conflict(format!("Plugin {name}: its file is gone"))),
        }
    }

    /// Loads a candidate on the side, under the settings and grants in force.
    pub(super) async fn prepare(&self, name: &str, candidate: Candidate) -> Result<Prepared, Refusal> {
        let config = self.0.base.config.current();
        let store_failed = |error| Refusal { manifest: None, error };
        let is_verified = self.0.bundled.find(name).is_some_and(|bytes| candidate.bytes == bytes);
        let allowance = self.allowance(name, is_verified).map_err(store_failed)?;
        let number = self.catalog().entry(name).map_or(0, |entry| entry.newest) + 1;
        let terms = Terms { name, allowance, components: &config.components, number };
        let generation = Box::pin(load(&self.0.engine, &candidate, terms)).await?;
        Ok(Prepared { generation: Arc::new(generation), candidate })
    }

    /// Puts a generation that has answered in service; if the plugin is disabled, once it is enabled.
    async fn commit(&self, Prepared { generation, candidate }: Prepared, file: File) -> Result<Placed> {
        let name = generation.name();
        let _changing = self.0.changing.lock().await;
        let before = self.catalog().entry(name).cloned().unwrap_or_else(|| Entry::blank(false));
        if before.status != Status::Disabled {
            self.check_conflicts(&generation)?;
        }
        if file == File::Written {
            self.check_servers(&generation)?;
        }
        self.remember_secrets(&generation.manifest).await?;
        if let Some(folder) = &self.0.folder {
            match file {
                File::Written => folder.write(name, candidate.bytes.clone()).await?,
                File::Removed => folder.remove(name).await?,
                File::Stays => {}
            }
            if !candidate.bundled {
                let version = json!({ "version": generation.manifest.plugin.version });
                match (folder.loaded(name, candidate.bytes).await, file) {
                    (Ok(Loaded::First), File::Stays) => self.edited("plugin.installed", name, version).await,
                    (Ok(Loaded::InPlaceOfAnother), File::Stays) => {
                        self.edited("plugin.replaced", name, version).await;
                    }
                    (Ok(_), _) => {}
                    (Err(error), _) => {
                        tracing::warn!(plugin = name, "there will be no way back to this component: {error}");
                    }
                }
            }
        }
        self.change(name, |entry| {
            let disabled = entry.status == Status::Disabled;
            Some(Entry {
                before: generation.probation_after(entry.before, entry.generation),
                status: if disabled { Status::Disabled } else { Status::Loaded },
                manifest: Some(Arc::clone(&generation.manifest)),
                generation: Some(Arc::clone(&generation)),
                newest: generation.number,
                error: None,
            })
        });
        tracing::info!(
            plugin = name,
            version = generation.manifest.plugin.version,
            generation = generation.number,
            "plugin loaded"
        );
        match before.status {
            Status::Loaded => self.publish(Kind::PluginReloaded, name, json!({})),
            Status::Failed => self.publish(Kind::PluginLoaded, name, json!({})),
            Status::Disabled => {}
        }
        let from = before.generation.map(|before| before.number);
        let Generation { number: to, compile_ms, .. } = *generation;
        Ok(Placed { name: name.to_owned(), from, to, compile_ms })
    }

    /// Records why there is no new generation. A plugin that serves goes on serving; one that didn't has failed.
    fn record_failure(&self, name: &str, refusal: &Refusal) {
        let reason = refusal.error.to_string();
        self.change(name, |entry| {
            let manifest = match &entry.generation {
                Some(generation) => Some(Arc::clone(&generation.manifest)),
                None => refusal.manifest.clone().or(entry.manifest.clone()),
            };
            Some(Entry { manifest, error: Some(reason.clone()), ..entry })
        });
        if self.catalog().entry(name).is_some_and(|entry| entry.status == Status::Failed) {
            self.publish(Kind::PluginFailed, name, json!({ "reason": reason }));
        }
    }

    /// Whether no other plugin gives what this generation gives.
    pub(super) fn check_conflicts(&self, generation: &Generation) -> Result<()> {
        match self.catalog().conflict(generation) {
            Some(conflict) => Err(Error::conflict(format!("Plugin {}: {conflict}", generation.name()))),
            None => Ok(()),
        }
    }

    /// Whether a plugin that is being installed leaves the names of MCP servers' tools to them.
    fn check_servers(&self, generation: &Generation) -> Result<()> {
        let config = self.0.base.config.current();
        let servers = &config.components.mcp_servers;
        for tool in generation.description.tools.iter().map(|tool| &tool.name) {
            let of = |server: &&String| {
                tool.strip_prefix(server.as_str()).is_some_and(|rest| rest.starts_with('.'))
            };
            if let Some(server) = servers.keys().find(of) {
                let plugin = generation.name();
                return Err(Error::conflict(format!(
                    "Plugin {plugin}: the name of its tool {tool} is one of MCP server {server}, whose tools begin with \
                     {server}. ; rename the tool, or the server in mcp_servers"
                )));
            }
        }
        Ok(())
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
