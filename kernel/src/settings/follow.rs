//! The configuration follows its file, and the files of its secrets: an edit is applied as a whole, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::state::{Dependents, Settings};
use prx_base::Base;
use prx_base::config::{Changes, Config, Loaded, secret_file};
use prx_base::watcher::{FileWatcher, Version, version};
use prx_store::Deed;

/// How often the files of secrets are looked at.
const SECRETS_INTERVAL: Duration = Duration::from_secs(5);

/// The files of secrets, by the table that refers to them and its name.
type SecretFiles = BTreeMap<(&'static str, String), BTreeSet<PathBuf>>;

/// How often a file that can't be put in force is read again: every 5 seconds.
const RETRY: Duration = Duration::from_secs(5);

impl Settings {
    /// Takes the configuration's file in hand, until `stopping`: from now on an edit of it does what a PATCH would.
    /// `loaded` is in force already.
    pub(crate) fn start(
        base: Base,
        loaded: Loaded,
        dependents: Dependents,
        (stopping, reload): (CancellationToken, watch::Receiver<()>),
    ) -> Self {
        let settings = Self::new(base, loaded, dependents);
        let path = settings.0.file.path();
        // A file that is not there yet is felt at once when its folder is.
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
            && let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(folder)
        {
            warn!("{} can't be made: {error}", folder.display());
        }
        let watcher = FileWatcher::new(path.to_owned(), settings.0.base.clock.clone());
        let following = settings.clone().follow(watcher, reload);
        tokio::spawn(stopping.clone().run_until_cancelled_owned(following));
        tokio::spawn(stopping.run_until_cancelled_owned(settings.clone().follow_secrets()));
        settings
    }

    async fn follow(self, mut watcher: FileWatcher, mut reload: watch::Receiver<()>) {
        loop {
            // Also what was edited while plugins were compiled.
            self.reload().await;
            tokio::select! {
                () = watcher.changed() => {}
                asked = reload.changed() => if asked.is_err() { return },
                // What keeps it from being read may pass, as a lack of file handles does.
                () = self.0.base.clock.sleep(RETRY), if self.problem().is_some() => {}
            }
        }
    }

    async fn reload(&self) {
        let mut in_force = self.0.text.lock().await;
        let text = match self.on_disk(in_force.as_deref()) {
            Ok(text) if text == *in_force => return self.set_problem(None),
            Ok(text) => text.unwrap_or_default(),
            Err(problem) => return self.set_problem(Some(problem)),
        };
        match self.checked(text.clone()).await {
            Ok(config) => {
                self.remember(&text);
                *in_force = Some(text);
                let before = self.0.base.config.current();
                let updated = Changes { before: &before, after: &config }.keys();
                let reload_required = Changes::need_restart(&updated);
                self.apply(config, &updated, reload_required).await;
                self.write_down(&updated).await;
            }
            Err(problem) => self.set_problem(Some(problem)),
        }
    }

    /// Writes an edit of the file into the audit log.
    async fn write_down(&self, updated: &[String]) {
        if updated.is_empty() {
            return;
        }
        let deed = Deed::of_file("config.updated", "", json!({ "keys": updated }));
        if let Err(error) = self.0.dependents.store.record_audit(deed).await {
            error!(%error, "an edit of the configuration is not in the audit log");
        }
    }

    /// What a text of the file says, if it can be put in force.
    async fn checked(&self, text: String) -> Result<Config, String> {
        let config = self.0.file.parse(text).map_err(|invalid| invalid.to_string())?.config;
        match self.check(&config).await {
            Ok(()) => Ok(config),
            Err(problems) => Err(format!("{}: {}", self.0.file.path().display(), problems.join("; "))),
        }
    }

    /// Has components take up secrets whose files have changed, or are there at last.
    async fn follow_secrets(self) {
        let mut known: BTreeMap<PathBuf, Version> = BTreeMap::new();
        loop {
            let files = secret_files(&self.0.base.config.current());
            let versions = files.values().flatten().map(|file| (file.clone(), version(file))).collect();
            let before = std::mem::replace(&mut known, versions);
            let changed =
                |file: &PathBuf| before.get(file).is_some_and(|before| known.get(file) != Some(before));
            for ((table, name), files) in &files {
                if let Some(file) = files.iter().find(|file| changed(file)) {
                    info!("{table}.{name} takes up the secret in {}", file.display());
                    self.take_up(table, name).await;
                }
            }
            self.0.base.clock.sleep(SECRETS_INTERVAL).await;
        }
    }

    async fn take_up(&self, table: &str, name: &str) {
        let Dependents { plugins, channels, mcp, .. } = &self.0.dependents;
        // What is gone or disabled by now has nothing to take up.
        let done = match table {
            "channels_config" => channels.restart(name),
            "mcp_servers" => mcp.reconnect(name),
            "providers_config" => {
                plugins.relink(self.0.base.config.current().components.plugin_of(name)).await
            }
            _ => plugins.relink(name).await,
        };
        if let Err(error) = done {
            warn!("{table}.{name}: {error}");
        }
    }
}

/// The files that secrets in a configuration are in.
fn secret_files(config: &Config) -> SecretFiles {
    let components = &config.components;
    let tables = [
        ("channels_config", &components.channels_config),
        ("providers_config", &components.providers_config),
        ("plugins_config", &components.plugins_config),
        ("mcp_servers", &components.mcp_servers),
    ];
    let mut files = SecretFiles::new();
    for (table, (name, settings)) in
        tables.into_iter().flat_map(|(table, named)| named.iter().map(move |named| (table, named)))
    {
        let mut found = BTreeSet::new();
        settings.values().for_each(|value| collect(value, &mut found));
        if !found.is_empty() {
            files.insert((table, name.clone()), found);
        }
    }
    files
}

fn collect(value: &Value, files: &mut BTreeSet<PathBuf>) {
    match value {
        Value::String(text) => {
            // In a header it may stand behind a scheme.
            let last = text.rsplit(' ').next().unwrap_or_default();
            files.extend(secret_file(text).or_else(|| secret_file(last)));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, files)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, files)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
