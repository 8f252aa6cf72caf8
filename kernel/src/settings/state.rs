//! The configuration in force and its file, and how a change of them is checked and applied.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use tracing::{info, warn};

use super::check::problems;
use super::keys::{KeyView, keys};
use super::redact::redacted;
use super::rights::guarded;
use super::secrecy::Secrecy;
use prx_base::Base;
use prx_base::config::{Changes, Config, File, Loaded, Parsed, is_blank};
use prx_base::error::{Code, Error, Result};
use prx_base::events::{Kind, NewEvent};
use prx_base::logs::Logs;
use prx_channels::Channels;
use prx_host::{Plugins, Watch};
use prx_http::{Caller, Scope};
use prx_mcp::Mcp;
use prx_store::Store;

/// How often a change is made anew because the file was edited while it was being made.
const WRITE_ATTEMPTS: usize = 5;

/// Who is told of a change of the configuration, beside those who follow [`prx_base::config::Live`] themselves.
pub(crate) struct Dependents {
    pub(crate) store: Store,
    pub(crate) logs: Logs,
    pub(crate) plugins: Plugins,
    pub(crate) channels: Channels,
    pub(crate) mcp: Mcp,
}

/// The outcome of a change.
#[derive(Debug)]
pub struct Updated {
    /// The dotted keys that were set or taken out.
    pub updated: Vec<String>,
    /// Some of them are only felt after a restart.
    pub reload_required: bool,
    /// The revision that is in force with them.
    pub revision: u64,
}

/// A cheap-clone handle to the configuration and its file.
#[derive(Clone)]
pub struct Settings(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) base: Base,
    pub(super) dependents: Dependents,
    pub(super) file: File,
    /// The file's text that is in force. Held while a change is checked, written and applied.
    pub(super) text: tokio::sync::Mutex<Option<String>>,
    /// What was in force when the gateway started.
    started: Arc<Config>,
    /// Counts the configurations that were in force.
    revision: AtomicU64,
    /// Why the file as it is now is not in force.
    problem: Mutex<Option<String>>,
    /// Keeps plugins in step with their files, where that is wanted.
    watch: Mutex<Option<Watch>>,
}

impl Settings {
    /// `loaded` is in force already.
    pub(super) fn new(base: Base, loaded: Loaded, dependents: Dependents) -> Self {
        let Loaded { file, text, config } = loaded;
        let text_served = text.clone();
        let settings = Self(Arc::new(Inner {
            started: base.config.current(),
            base,
            dependents,
            file,
            text: tokio::sync::Mutex::new(text),
            revision: AtomicU64::new(1),
            problem: Mutex::default(),
            watch: Mutex::default(),
        }));
        settings.watch_plugins(config.plugins.watch);
        settings.remember(text_served.as_deref().unwrap_or_default());
        settings
    }

    /// Notes that the file was served, so that it is missed when it is found empty one day.
    pub(super) fn remember(&self, text: &str) {
        if let Err(error) = self.0.file.remember(text) {
            warn!("an empty configuration file would not be noticed at the next start: {error}");
        }
    }

    /// The configuration in force, without its secrets.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn redacted(&self) -> Result<Value> {
        redacted(&self.0.base.config.current(), &Secrecy::of(&self.0.dependents.plugins))
    }

    /// What the file says that is in force, with its secrets; none where there is no file.
    pub async fn text(&self) -> Option<String> {
        self.0.text.lock().await.clone()
    }

    /// What tells this configuration from those before it. It says nothing about its content.
    pub fn revision(&self) -> u64 {
        self.0.revision.load(Relaxed)
    }

    /// The keys whose change is only felt after a restart that has not come yet.
    pub fn restart_due(&self) -> Vec<String> {
        let current = self.0.base.config.current();
        let mut keys = Changes { before: &self.0.started, after: &current }.keys();
        keys.retain(|key| Changes::need_restart(std::slice::from_ref(key)));
        keys
    }

    /// Every key of the kernel's, and who has set it.
    pub(crate) async fn keys(&self) -> Vec<KeyView> {
        let text = self.text().await.unwrap_or_default();
        keys(self.0.file.parse(text).ok().as_ref())
    }

    /// Why the file on disk is not in force, if it is not.
    pub fn problem(&self) -> Option<String> {
        self.0.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets dotted keys, in the file and in force; `null` takes one out. All of them or none. With `unchanged_since`
    /// only if that is still the revision in force.
    ///
    /// # Errors
    /// `bad_request` with every problem in its details; `forbidden` with every key that the caller may not change like
    /// this; `conflict` when another change came first, or the file was broken by hand or can't be written. Nothing has
    /// changed then.
    pub async fn patch(
        &self,
        changes: &Map<String, Value>,
        unchanged_since: Option<u64>,
        caller: &Caller,
    ) -> Result<Updated> {
        let mut in_force = self.0.text.lock().await;
        if unchanged_since.is_some_and(|revision| revision != self.revision()) {
            return Err(Error::conflict("The configuration has changed since it was read; read it again"));
        }
        for _ in 0..WRITE_ATTEMPTS {
            let (read, parsed) = self.read_again(in_force.as_deref()).await?;
            let before = parsed.written.clone();
            let patched = self.0.file.patch(parsed, changes).map_err(refused)?;
            self.permit(Changes { before: &before, after: &patched.written }, &patched.updated, caller)?;
            self.check(&patched.config).await.map_err(refused)?;
            if read.as_ref() != Some(&patched.text) && !self.write(read, patched.text.clone()).await? {
                continue;
            }
            self.remember(&patched.text);
            *in_force = Some(patched.text);
            self.apply(patched.config, &patched.updated, patched.restart).await;
            let (updated, reload_required) = (patched.updated, patched.restart);
            // Still under the lock, so that it is no other change's.
            return Ok(Updated { updated, reload_required, revision: self.revision() });
        }
        let path = self.0.file.path().display();
        Err(Error::conflict(format!("Nothing was changed: {path} is being edited all the time; try again")))
    }

    /// Whether a caller may make a change: see [`guarded`].
    fn permit(&self, changes: Changes<'_>, given: &[String], caller: &Caller) -> Result<()> {
        if caller.may(Scope::ADMIN) {
            return Ok(());
        }
        let guarded = guarded(changes, given, &Secrecy::of(&self.0.dependents.plugins))?;
        if guarded.is_empty() {
            return Ok(());
        }
        let problems: Vec<String> = guarded.into_iter().map(|(key, why)| format!("{key}: {why}")).collect();
        let message = format!(
            "Nothing was changed: the token lacks the scope {}, which this takes: {}",
            Scope::ADMIN,
            problems.join("; ")
        );
        Err(Error::new(Code::Forbidden, message).with_details(json!({ "problems": problems })))
    }

    /// Writes the file, if it still has the text that was read.
    async fn write(&self, read: Option<String>, text: String) -> Result<bool> {
        let file = self.0.file.clone();
        let written = tokio::task::spawn_blocking(move || file.replace(read.as_deref(), &text)).await;
        written.map_err(Error::internal)?.map_err(|error| {
            let path = self.0.file.path().display();
            Error::conflict(format!("Nothing was changed: {path} can't be written: {error}"))
        })
    }

    /// The text to change: what is on disk now, also when an edit of it has not been noticed yet.
    async fn read_again(&self, in_force: Option<&str>) -> Result<(Option<String>, Parsed)> {
        let broken = |problem: String| {
            let message = format!("Nothing was changed: the file on disk has to be mended first: {problem}");
            Error::conflict(message)
        };
        let text = self.on_disk(in_force).map_err(broken)?;
        let parsed = self.0.file.parse(text.clone().unwrap_or_default());
        let parsed = parsed.map_err(|invalid| broken(invalid.to_string()))?;
        self.check(&parsed.config).await.map_err(|problems| broken(problems.join("; ")))?;
        Ok((text, parsed))
    }

    /// The file's text; none if there never was a file.
    pub(super) fn on_disk(&self, in_force: Option<&str>) -> Result<Option<String>, String> {
        let text = self.0.file.read().map_err(|invalid| invalid.to_string())?;
        let path = self.0.file.path().display();
        match (&text, in_force) {
            (None, Some(_)) => Err(format!("{path} is gone; put it back")),
            // Editors and copies that break off leave that behind.
            (Some(text), Some(before)) if is_blank(text) && !is_blank(before) => Err(format!(
                "{path} is empty; put it back, or write a comment into it if the defaults are meant"
            )),
            _ => Ok(text),
        }
    }

    pub(super) async fn check(&self, config: &Config) -> Result<(), Vec<String>> {
        let before = self.0.base.config.current();
        let changes = Changes { before: &before, after: config };
        let problems = problems(changes, &self.0.dependents.plugins.known()).await;
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Makes a checked configuration the one that everything works with. Returns when it does.
    pub(super) async fn apply(&self, config: Config, updated: &[String], reload_required: bool) {
        let live = &self.0.base.config;
        let Dependents { store, logs, plugins, channels, .. } = &self.0.dependents;
        self.set_problem(None);
        let before = live.current();
        if *before == config {
            return;
        }
        live.replace(config);
        self.0.revision.fetch_add(1, Relaxed);
        let after = live.current();
        if let Err(error) = logs.configure(&after.logs) {
            warn!("logs.level: {error}");
        }
        self.watch_plugins(after.plugins.watch);
        let changes = Changes { before: &before, after: &after };
        for plugin in changes.plugins() {
            if let Err(error) = plugins.relink(plugin).await {
                warn!(plugin, "it stops, for it can't run under the new configuration: {error}");
            }
            channels.restart_those_of(plugin);
        }
        info!(updated = updated.join(", "), reload_required, "the configuration changed");
        let data = json!({"updated": updated, "reload_required": reload_required});
        if let Err(error) = store.record_event(NewEvent { kind: Kind::ConfigUpdated, data }).await {
            warn!(%error, "hooks are not told that the configuration changed");
        }
    }

    fn watch_plugins(&self, wanted: bool) {
        let mut watch = self.0.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted != watch.is_some() {
            let started = wanted.then(|| self.0.dependents.plugins.watch(self.0.base.clock.clone()));
            *watch = started.transpose().unwrap_or_else(|error| {
                warn!("plugins don't follow their files: {error}");
                None
            });
        }
    }

    /// Notes why the file is not in force, or that it is.
    pub(super) fn set_problem(&self, problem: Option<String>) {
        let mut noted = self.0.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if *noted == problem {
            return;
        }
        match &problem {
            Some(problem) => warn!("the configuration stays as it was: {problem}"),
            None => info!("the configuration file is in force again"),
        }
        *noted = problem;
    }
}

fn refused(problems: Vec<String>) -> Error {
    let message = format!("Nothing was changed: {}", problems.join("; "));
    Error::bad_request(message).with_details(json!({ "problems": problems }))
}
