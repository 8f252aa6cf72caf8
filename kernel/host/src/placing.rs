//! Puts code in a plugin's place: found, loaded on the side, and put in service once it has answered.

use std::sync::Arc;

use serde_json::{Value, json};

use super::candidate::{Candidate, Origin};
use super::catalog::{Entry, Placed, Status};
use super::folder::Loaded;
use super::generation::Generation;
use super::load::{Refusal, Terms, load};
use super::lock::{self, Installed};
use super::registry::Plugins;
use super::trust::Trust;
use super::versions;
use prx_base::clock::rfc3339;
use prx_base::error::{Error, Result};
use prx_base::events::Kind;
use prx_store::Deed;

/// What becomes of a plugin's file when a candidate is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    /// The candidate came from where it is.
    Stays,
    /// The candidate is written in its place.
    Written,
    /// The candidate is the bundled one; the file that was in its place goes.
    Removed,
}

/// A generation that has answered, and what it was made of.
pub(super) struct Prepared {
    pub(super) generation: Arc<Generation>,
    candidate: Candidate,
}

impl Plugins {
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
        let candidate = Candidate { bytes: bytes.into(), origin: Origin::Bundled };
        let Ok(prepared) = self.prepare(name, candidate).await else { return false };
        let placed = self.commit(prepared, File::Stays).await;
        let reason = format!("its file is not used, and what came with the gateway serves instead: {reason}");
        placed.is_ok() && self.change(name, |entry| Some(Entry { error: Some(reason.clone()), ..entry }))
    }

    /// The component that a plugin is loaded from.
    pub(super) async fn candidate(&self, name: &str) -> Result<Candidate> {
        let file = match &self.0.folder {
            Some(folder) => folder.read_known(name).await?,
            None => None,
        };
        match (file, self.0.bundled.find(name)) {
            (Some((bytes, known)), _) => Ok(Candidate { bytes, origin: Origin::Folder { known } }),
            (None, Some(bytes)) => Ok(Candidate { bytes: bytes.into(), origin: Origin::Bundled }),
            (None, None) => Err(Error::conflict(format!("Plugin {name}: its file is gone"))),
        }
    }

    /// Loads a candidate on the side, under the settings and grants in force.
    pub(super) async fn prepare(&self, name: &str, candidate: Candidate) -> Result<Prepared, Refusal> {
        let config = self.0.base.config.current();
        let store_failed = |error| Refusal { manifest: None, error };
        let is_verified = self.0.bundled.find(name).is_some_and(|bytes| candidate.bytes == bytes);
        let allowance = self.allowance(name, is_verified).map_err(store_failed)?;
        let owner = self.0.store.plugin(name).map_err(store_failed)?.and_then(|record| record.key);
        let trust = Trust::of(&config.plugins, owner.as_deref());
        let number = self.catalog().entry(name).map_or(0, |entry| entry.newest) + 1;
        let terms = Terms { name, allowance, components: &config.components, number, trust };
        let generation = Box::pin(load(&self.0.engine, &candidate, terms)).await?;
        Ok(Prepared { generation: Arc::new(generation), candidate })
    }

    /// Puts a generation that has answered in service; if the plugin is disabled, once it is enabled.
    pub(super) async fn commit(
        &self,
        Prepared { generation, candidate }: Prepared,
        file: File,
    ) -> Result<Placed> {
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
        self.remember_key(&generation).await?;
        self.put_file(&generation, candidate, file).await?;
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
        let note = note_on(before.generation.as_deref(), &generation);
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
        Ok(Placed { name: name.to_owned(), from, to, compile_ms, note })
    }

    /// Brings the plugin's file in line with what is about to serve, and notes what that is. Where the note can't be written,
    /// nothing is installed; what lies in the folder already serves all the same.
    async fn put_file(&self, generation: &Generation, candidate: Candidate, file: File) -> Result<()> {
        let Some(folder) = &self.0.folder else { return Ok(()) };
        let name = generation.name();
        match file {
            File::Written => {
                folder.locked(name).await?;
                folder.write(name, candidate.bytes.clone()).await?;
            }
            File::Removed => folder.remove(name).await?,
            File::Stays => {}
        }
        if candidate.is_bundled() {
            return Ok(());
        }
        let record = self.record(generation, candidate.origin);
        let keep = self.0.base.config.current().plugins.keep_generations;
        let version = json!({ "version": record.version, "sha256": record.sha256 });
        match (folder.loaded(name, candidate.bytes, record, keep).await, file) {
            (Ok(Loaded::First), File::Stays) => self.edited("plugin.installed", name, version).await,
            (Ok(Loaded::InPlaceOfAnother), File::Stays) => {
                self.edited("plugin.replaced", name, version).await
            }
            (Ok(_), _) => {}
            (Err(error), _) => {
                tracing::warn!(plugin = name, "there will be no way back to this component: {error}");
            }
        }
        Ok(())
    }

    /// What is noted of a component that is put in service.
    fn record(&self, generation: &Generation, origin: Origin) -> Installed {
        let (source, by) = match origin {
            Origin::Kept(record) => return record,
            Origin::Delivered(delivery) => (delivery.source, delivery.by),
            Origin::Folder { .. } | Origin::Bundled => (lock::FOLDER.to_owned(), None),
        };
        let installed_at = Some(rfc3339(self.0.base.clock.now()));
        Installed { installed_at, installed_by: by, ..generation.as_installed(source) }
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

    /// Writes into the audit log what someone has done to a plugin's file, without the gateway.
    pub(super) async fn edited(&self, action: &str, name: &str, details: Value) {
        if let Err(error) = self.0.store.record_audit(Deed::of_file(action, name, details)).await {
            tracing::error!(plugin = name, %error, "a change of its file is not in the audit log");
        }
    }
}

/// What is to be said of new code in the place of other code, also into the log.
fn note_on(before: Option<&Generation>, new: &Generation) -> Option<String> {
    let before = before.filter(|before| before.digest != new.digest)?;
    let note = versions::note_on(&before.manifest.plugin, &new.manifest.plugin)?;
    tracing::warn!(plugin = new.name(), "{note}");
    Some(note)
}
