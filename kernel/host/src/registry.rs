//! The registry of all plugins: lists them and calls what they give.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::bindings::common::{Fault, FaultCode};
use super::bindings::{provider, sink, skill, tool};
use super::bundled::Bundled;
use super::call::CallError;
use super::catalog::{Catalog, Entry, PluginStatus, SkillEntry, Standing, Status, ToolEntry, TriedCode};
use super::component::Code;
use super::engine::Engine;
use super::folder::Folder;
use super::generation::Generation;
use super::known::Known;
use super::load::examine;
use super::scope::Scope;
use prx_base::Base;
use prx_base::error::{Error, Result};
use prx_base::events::{Kind, NewEvent};
use prx_skill_folders::SkillFolder;
use prx_store::Store;

/// Failures in a row through a plugin's own fault after which it is quarantined.
const MAX_FAILURES_IN_A_ROW: u32 = 5;
/// Steps of an agent's after which new code of it has passed its probation.
const PROBATION_STEPS: u32 = 32;

/// Which plugins a gateway loads.
#[derive(Debug, Clone)]
pub struct Options {
    /// Those that come with it.
    pub bundled: Bundled,
    /// Holds the folder `plugins` with the operator's components, and `skills` with skills that are folders.
    pub data_dir: PathBuf,
    /// Load the bundled ones only.
    pub safe_mode: bool,
}

/// How far loading all plugins is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Plugins that have been compiled and asked what they give, or have failed to be.
    pub loaded: usize,
    /// Plugins there are.
    pub total: usize,
}

/// A cheap-clone handle to all plugins.
#[derive(Clone)]
pub struct Plugins(pub(super) Arc<Registry>);

pub(super) struct Registry {
    pub(super) base: Base,
    pub(super) store: Store,
    pub(super) engine: Engine,
    pub(super) bundled: Bundled,
    pub(super) data_dir: PathBuf,
    /// None in safe mode.
    pub(super) folder: Option<Folder>,
    /// Where the skills lie that are folders. None in safe mode.
    pub(super) skills: Option<SkillFolder>,
    /// Each bundled plugin, which is granted what it asks for.
    pub(super) verified: BTreeMap<&'static str, Known>,
    /// How far [`Plugins::load_all`] is.
    pub(super) progress: watch::Sender<Progress>,
    /// Read without a lock; a change is a new snapshot.
    pub(super) catalog: ArcSwap<Catalog>,
    /// Held from the check that a change is possible until it is made.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// By plugin: held while one of its verbs is under way, so that they take effect one after the other.
    pub(super) verb_locks: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// By plugin: the generation that serves, for its channels. The lock is held to send, never across an await.
    serving: Mutex<BTreeMap<String, watch::Sender<Option<Arc<Generation>>>>>,
    /// Changes whenever a plugin does.
    changed: watch::Sender<()>,
    failed_calls: AtomicU64,
}

impl Plugins {
    /// A registry of which nothing is loaded yet: see [`Plugins::load_all`].
    ///
    /// # Errors
    /// The folder for plugins cannot be made.
    pub async fn new(base: Base, store: Store, engine: Engine, options: Options) -> Result<Self> {
        let Options { bundled, data_dir, safe_mode } = options;
        let folder = match safe_mode {
            true => None,
            false => Some(Folder::open(&data_dir).map_err(Error::internal)?),
        };
        Ok(Self(Arc::new(Registry {
            base,
            store,
            engine,
            bundled,
            data_dir: data_dir.clone(),
            folder,
            skills: (!safe_mode).then(|| SkillFolder::of(&data_dir)),
            verified: verified(bundled).await,
            progress: watch::Sender::default(),
            catalog: ArcSwap::default(),
            changing: tokio::sync::Mutex::default(),
            verb_locks: Mutex::default(),
            serving: Mutex::default(),
            changed: watch::Sender::default(),
            failed_calls: AtomicU64::new(0),
        })))
    }

    /// How far loading all plugins is, now and from now on.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.0.progress.subscribe()
    }

    /// Every plugin, by name.
    pub fn list(&self) -> Vec<PluginStatus> {
        self.catalog().list()
    }

    /// Every plugin whose manifest could be read, by name.
    pub fn known(&self) -> BTreeMap<String, Known> {
        let catalog = self.catalog();
        let entries = catalog.entries();
        entries.filter_map(|(name, entry)| Some((name.clone(), Known::of(entry)?))).collect()
    }

    /// One plugin.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn get(&self, name: &str) -> Result<PluginStatus> {
        self.catalog().show(name).ok_or_else(|| Error::not_found("Plugin", name))
    }

    /// Rises whenever a plugin changes, before anyone is told of it. Whoever keeps what [`Plugins::tools`] returned
    /// compares it, and asks again where it is another.
    pub fn revision(&self) -> u64 {
        self.0.catalog.load().revision()
    }

    /// Every tool of the plugins that serve.
    pub fn tools(&self) -> Vec<ToolEntry> {
        self.catalog().tools()
    }

    /// Every skill of the plugins that serve, and of the operator's folders.
    pub fn skills(&self) -> Vec<SkillEntry> {
        self.catalog().skills()
    }

    /// The models of a provider, as far as they are known without asking; none if no plugin serves as one of that name.
    pub fn models(&self, provider: &str) -> Option<Vec<String>> {
        let generation = self.catalog().serving(&self.plugin_of(provider))?.clone();
        generation.provider(provider)?.ok()?;
        generation.description.models.clone()
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

    /// Activates a skill of a plugin.
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

    /// Whether a provider takes the pictures that tools return.
    pub fn takes_pictures(&self, provider: &str) -> bool {
        let plugin = self.plugin_of(provider);
        self.catalog().serving(&plugin).is_some_and(|generation| generation.manifest.provider.pictures)
    }

    /// Has a provider's model answer. The answer goes to `deltas` while it grows.
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
        let (generation, code) = self.provider(provider)?;
        let answer = code.complete(request, deltas, scope).await;
        self.report(&generation, answer.as_ref().map(drop));
        answer
    }

    /// Asks a provider's server for its models.
    ///
    /// # Errors
    /// As [`Plugins::complete`].
    pub async fn list_models(
        &self,
        provider: &str,
    ) -> Result<Result<Vec<provider::ModelInfo>, provider::ProviderError>, CallError> {
        let (generation, code) = self.provider(provider)?;
        let answer = code.list_models().await;
        self.report(&generation, answer.as_ref().map(drop));
        answer
    }

    /// The plugin that gives a provider, and its code under that provider's settings.
    fn provider(&self, name: &str) -> Result<(Arc<Generation>, Code), CallError> {
        let no_such = || CallError::NoSuch(format!("provider {name}"));
        let generation = self.catalog().serving(&self.plugin_of(name)).cloned().ok_or_else(no_such)?;
        let code = match generation.provider(name).ok_or_else(no_such)? {
            Ok(code) => code.clone(),
            Err(why) => {
                let fault = Fault { code: FaultCode::BadConfig, message: why.clone() };
                return Err(CallError::Fault(fault));
            }
        };
        Ok((generation, code))
    }

    fn plugin_of(&self, provider: &str) -> String {
        self.0.base.config.current().components.plugin_of(provider).to_owned()
    }

    /// The code of an agent's plugin that serves, and while that is on probation the code before it; none while the plugin
    /// is disabled, failed, unknown or no agent.
    pub fn agent(&self, plugin: &str) -> Option<TriedCode> {
        self.tried(plugin).filter(|code| code.newest.description.agent)
    }

    /// The same of a filter's plugin.
    pub fn filter(&self, plugin: &str) -> Option<TriedCode> {
        self.tried(plugin).filter(|code| code.newest.description.filters.is_some())
    }

    fn tried(&self, plugin: &str) -> Option<TriedCode> {
        let catalog = self.catalog();
        let entry = catalog.entry(plugin)?;
        Some(TriedCode { newest: Arc::clone(entry.serving()?), before: entry.before.clone() })
    }

    /// Counts a step that an agent's code has done well, or an answer that a filter's has. With the last one of its probation
    /// the code before it is let go.
    pub fn did_well(&self, generation: &Arc<Generation>) {
        generation.reset_failures();
        if generation.steps.fetch_add(1, Ordering::Relaxed) + 1 == PROBATION_STEPS {
            self.change(generation.name(), |entry| {
                let is_it = entry.generation.as_ref().is_some_and(|serving| Arc::ptr_eq(serving, generation));
                (is_it && entry.before.is_some()).then(|| Entry { before: None, ..entry })
            });
        }
    }

    /// Who serves what a path leads to, and where in the path begins what is for it to read; none where nobody does.
    pub fn route(&self, path: &str) -> Option<(Arc<Generation>, usize)> {
        self.catalog().route(path).map(|(generation, at)| (Arc::clone(generation), at))
    }

    /// Wakes whoever works with all plugins: one has changed.
    pub fn changed(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Every plugin whose manifest could be read, by name.
    pub fn standings(&self) -> Vec<Standing> {
        let catalog = self.catalog();
        let of = |entry: &Entry| {
            let (status, serving) = (entry.status, entry.serving().cloned());
            // Of a refused candidate the manifest is known, too; what serves has its own.
            let own = serving.as_ref().map(|generation| Arc::clone(&generation.manifest));
            Some(Standing { manifest: own.or_else(|| entry.manifest.clone())?, status, serving })
        };
        catalog.entries().filter_map(|(_, entry)| of(entry)).collect()
    }

    /// The generation of a plugin that serves; none while it is disabled, failed or unknown.
    pub fn serving(&self, plugin: &str) -> Option<Arc<Generation>> {
        self.catalog().serving(plugin).cloned()
    }

    /// The generation of a plugin that serves, now and from now on; none while it is disabled, failed or unknown.
    pub fn connector(&self, plugin: &str) -> watch::Receiver<Option<Arc<Generation>>> {
        let mut channels = self.0.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let serving = || watch::Sender::new(self.catalog().serving(plugin).cloned());
        channels.entry(plugin.to_owned()).or_insert_with(serving).subscribe()
    }

    /// Counts the outcome of a call of a generation. Calls through [`Plugins`] are counted already; whoever holds a
    /// connector reports its calls here. Too many failures in a row quarantine the plugin.
    pub fn report(&self, generation: &Arc<Generation>, outcome: Result<(), &CallError>) {
        let Some(failures) = generation.count(outcome) else { return };
        let Err(error) = outcome else { return };
        self.0.failed_calls.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            plugin = generation.name(),
            generation = generation.number,
            failures,
            "a call failed: {error}"
        );
        if failures == MAX_FAILURES_IN_A_ROW {
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
            "quarantined after {MAX_FAILURES_IN_A_ROW} calls in a row failed, the last one because {error}; \
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

    /// Replaces a plugin's entry by what `change` makes of it, unless that is nothing, and notifies its channels.
    /// `change` may be called several times. Returns whether it made anything.
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
        self.notify_channels(name);
        changed
    }

    /// Notifies the channels of a plugin of the generation that serves now, and whoever works with all plugins.
    pub(super) fn notify_channels(&self, name: &str) {
        self.0.changed.send_replace(());
        let channels = self.0.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(channels) = channels.get(name) else { return };
        let serving = self.catalog().serving(name).cloned();
        channels.send_if_modified(|known| {
            let same = known.as_ref().map(Arc::as_ptr) == serving.as_ref().map(Arc::as_ptr);
            *known = serving;
            !same
        });
    }

    pub(super) fn publish(&self, kind: Kind, name: &str, mut data: Value) {
        data["name"] = name.into();
        if let Some(status) = self.catalog().show(name) {
            data["version"] = status.version.into();
            data["generation"] = status.generation.into();
        }
        self.0.store.record_event_soon(NewEvent { kind, data });
    }
}

/// Each bundled plugin, by name.
async fn verified(bundled: Bundled) -> BTreeMap<&'static str, Known> {
    let asked = bundled.all().map(async |(name, bytes)| {
        let (inspected, _) = examine(bytes.into()).await.ok()?;
        Some((name, Known::from(inspected)))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
