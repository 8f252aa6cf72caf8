//! Every plugin of the gateway: who there is, what they give, and their calls.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::bindings::{provider, sink, skill, tool};
use super::bundled::Bundled;
use super::call::CallError;
use super::catalog::{Catalog, Entry, Generation, PluginStatus, SkillEntry, Status, ToolEntry};
use super::engine::Engine;
use super::folder::Folder;
use super::load::examine;
use super::manifest::Permissions;
use super::scope::Scope;
use prx_base::config;
use prx_base::error::{Error, Result};
use prx_base::events::{Kind, NewEvent};
use prx_store::Store;

/// Calls in a row that may go wrong through a plugin's own fault before it is taken out of service.
const DEFECTS: u32 = 5;

/// What plugins are made with.
pub struct Parts {
    /// Those that come with the gateway.
    pub bundled: Bundled,
    /// Holds the folder `plugins` with the operator's components.
    pub data_dir: PathBuf,
    /// Compiles and links them.
    pub engine: Engine,
    /// Keeps what the operator decided about them.
    pub store: Store,
    /// Their settings and grants.
    pub config: config::Live,
    /// Leave everything alone that did not come with the gateway.
    pub safe_mode: bool,
}

/// A cheap-clone handle to all plugins.
#[derive(Clone)]
pub struct Plugins(pub(super) Arc<Registry>);

pub(super) struct Registry {
    pub(super) parts: Parts,
    /// None in safe mode.
    pub(super) folder: Option<Folder>,
    /// What each bundled plugin asks for: it is granted that, and so is what the operator puts in its place.
    pub(super) vouched: BTreeMap<&'static str, Permissions>,
    /// Read without a lock; a change is a new snapshot.
    pub(super) catalog: ArcSwap<Catalog>,
    /// Held while it is made sure that a change is possible, and made.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// By plugin: held while one of its verbs is under way, so that they take effect one after the other.
    pub(super) turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// By plugin: what its channels are told. The lock is held to send, never across an await.
    taps: Mutex<BTreeMap<String, watch::Sender<Option<Arc<Generation>>>>>,
    failed_calls: AtomicU64,
}

impl Plugins {
    /// Loads every plugin there is. One that cannot be loaded is listed as failed, with the reason.
    ///
    /// # Errors
    /// The folder for plugins cannot be made or read, or the store fails.
    pub async fn open(parts: Parts) -> Result<Self> {
        let folder = match parts.safe_mode {
            true => None,
            false => Some(Folder::open(&parts.data_dir).map_err(Error::internal)?),
        };
        let mut vouched = BTreeMap::new();
        for (name, bytes) in parts.bundled.all() {
            if let Ok((inspected, _)) = examine(bytes.into()).await {
                vouched.insert(name, inspected.manifest.permissions);
            }
        }
        let plugins = Self(Arc::new(Registry {
            parts,
            folder,
            vouched,
            catalog: ArcSwap::default(),
            changing: tokio::sync::Mutex::default(),
            turns: Mutex::default(),
            taps: Mutex::default(),
            failed_calls: AtomicU64::new(0),
        }));
        plugins.load_all().await?;
        Ok(plugins)
    }

    /// Every plugin, by name.
    pub fn list(&self) -> Vec<PluginStatus> {
        self.catalog().list()
    }

    /// One plugin.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn get(&self, name: &str) -> Result<PluginStatus> {
        self.catalog().show(name).ok_or_else(|| Error::not_found("Plugin", name))
    }

    /// Every tool of the plugins that serve.
    pub fn tools(&self) -> Vec<ToolEntry> {
        self.catalog().tools()
    }

    /// Every skill of the plugins that serve.
    pub fn skills(&self) -> Vec<SkillEntry> {
        self.catalog().skills()
    }

    /// The models of a provider; none if no plugin of that name serves as one.
    pub fn models(&self, provider: &str) -> Option<Vec<String>> {
        self.catalog().serving(provider)?.description.models.clone()
    }

    /// Calls a tool with its arguments, a JSON object.
    ///
    /// # Errors
    /// See [`CallError`]; `NoSuch` if no plugin that serves gives the tool.
    pub async fn call_tool(
        &self,
        name: &str,
        arguments: &str,
        context: &tool::CallContext,
        scope: Scope,
    ) -> Result<tool::ToolOutput, CallError> {
        let generation = self.catalog().tool(name).cloned();
        let generation = generation.ok_or_else(|| CallError::NoSuch(format!("tool {name}")))?;
        let answer = generation.code.call_tool(name, arguments, context, scope).await;
        self.report(&generation, answer.as_ref().map(drop));
        answer
    }

    /// Brings a skill in.
    ///
    /// # Errors
    /// See [`CallError`]; `NoSuch` if no plugin that serves gives the skill.
    pub async fn activate(
        &self,
        name: &str,
        input: &skill::SkillInput,
        scope: Scope,
    ) -> Result<skill::Activation, CallError> {
        let generation = self.catalog().skill(name).cloned();
        let generation = generation.ok_or_else(|| CallError::NoSuch(format!("skill {name}")))?;
        let answer = generation.code.activate(name, input, scope).await;
        self.report(&generation, answer.as_ref().map(drop));
        answer
    }

    /// Whether a provider is shown the pictures that tools return.
    pub fn takes_pictures(&self, provider: &str) -> bool {
        self.catalog().serving(provider).is_some_and(|generation| generation.manifest.provider.pictures)
    }

    /// Has a provider's model answer. What it says on the way goes to `deltas`.
    ///
    /// # Errors
    /// See [`CallError`]; `NoSuch` if no plugin of that name serves. The inner error is the provider's own.
    pub async fn complete(
        &self,
        provider: &str,
        request: &provider::Request,
        deltas: mpsc::Sender<sink::Delta>,
        scope: Scope,
    ) -> Result<Result<provider::Completion, provider::ProviderError>, CallError> {
        let generation = self.catalog().serving(provider).cloned();
        let generation = generation.ok_or_else(|| CallError::NoSuch(format!("provider {provider}")))?;
        let answer = generation.code.complete(request, deltas, scope).await;
        self.report(&generation, answer.as_ref().map(drop));
        answer
    }

    /// The generation of a plugin that serves, now and from now on; none while it is disabled, failed or unknown.
    pub fn connector(&self, plugin: &str) -> watch::Receiver<Option<Arc<Generation>>> {
        let mut taps = self.0.taps.lock().unwrap_or_else(PoisonError::into_inner);
        let serving = || watch::Sender::new(self.catalog().serving(plugin).cloned());
        taps.entry(plugin.to_owned()).or_insert_with(serving).subscribe()
    }

    /// Counts how a call of a generation went. Calls through [`Plugins`] are counted already; who holds a
    /// connector tells of its calls here. Too many defects in a row take the plugin out of service.
    pub fn report(&self, generation: &Arc<Generation>, outcome: Result<(), &CallError>) {
        let Some(defects) = generation.count(outcome) else { return };
        let Err(error) = outcome else { return };
        self.0.failed_calls.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            plugin = generation.name(),
            generation = generation.number,
            defects,
            "a call failed: {error}"
        );
        if defects == DEFECTS {
            self.quarantine(generation, error);
        }
    }

    /// How many calls have failed through a defect of the component.
    pub fn failed_calls(&self) -> u64 {
        self.0.failed_calls.load(Ordering::Relaxed)
    }

    fn quarantine(&self, generation: &Arc<Generation>, error: &CallError) {
        let name = generation.name();
        let reason = format!(
            "quarantined after {DEFECTS} calls in a row failed, the last one because {error}; \
             reload or enable it to try again"
        );
        let changed = self.change(name, |entry| {
            let serving = entry.serving().is_some_and(|serving| Arc::ptr_eq(serving, generation));
            let failed =
                Entry { status: Status::Failed, generation: None, error: Some(reason.clone()), ..entry };
            serving.then_some(failed)
        });
        if changed {
            tracing::error!(plugin = name, "{reason}");
            self.publish(Kind::PluginFailed, name, json!({ "reason": reason }));
        }
    }

    pub(super) fn catalog(&self) -> Arc<Catalog> {
        self.0.catalog.load_full()
    }

    /// Replaces a plugin's entry by what `change` makes of it, unless that is nothing, and tells its channels.
    /// `change` may be called several times. Answers whether it made anything.
    pub(super) fn change(&self, name: &str, change: impl Fn(Entry) -> Option<Entry>) -> bool {
        let mut changed = false;
        self.0.catalog.rcu(|catalog| {
            let entry = catalog.entry(name).cloned().unwrap_or_else(|| Entry::blank(false));
            match change(entry) {
                Some(entry) => {
                    changed = true;
                    Arc::new(catalog.with(name, Some(entry)))
                }
                None => {
                    changed = false;
                    Arc::clone(catalog)
                }
            }
        });
        self.tell(name);
        changed
    }

    /// Lets the channels of a plugin know which generation serves now.
    pub(super) fn tell(&self, name: &str) {
        let taps = self.0.taps.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tap) = taps.get(name) else { return };
        let serving = self.catalog().serving(name).cloned();
        tap.send_if_modified(|told| {
            let same = told.as_ref().map(Arc::as_ptr) == serving.as_ref().map(Arc::as_ptr);
            *told = serving;
            !same
        });
    }

    pub(super) fn publish(&self, kind: Kind, name: &str, mut data: Value) {
        data["name"] = name.into();
        if let Some(status) = self.catalog().show(name) {
            data["version"] = status.version.into();
            data["generation"] = status.generation.into();
        }
        self.0.parts.store.record_event_soon(NewEvent { kind, data });
    }
}

#[cfg(test)]
mod tests;
