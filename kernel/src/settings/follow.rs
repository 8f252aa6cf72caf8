//! The configuration follows its file: an edit of it is applied as a whole, or not at all.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::state::{Dependents, Settings};
use prx_base::Base;
use prx_base::clock::Clock;
use prx_base::config::{Changes, Config, Loaded};
use prx_base::watcher::FolderWatcher;
use prx_store::Deed;

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
        let watcher = match watch(settings.0.file.path(), settings.0.base.clock.clone()) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                let file = settings.0.file.path().display();
                warn!(
                    "edits of {file} are only felt after SIGHUP or a restart: it can't be watched: {error}"
                );
                None
            }
        };
        let following = settings.clone();
        tokio::spawn(async move { stopping.run_until_cancelled(following.follow(watcher, reload)).await });
        settings
    }

    async fn follow(self, watcher: Option<FolderWatcher>, mut reload: watch::Receiver<()>) {
        // Whatever changes in its folder may be the file: it may be a link.
        let edited = async || match &watcher {
            Some(watcher) => drop(watcher.changed(|_| BTreeSet::from([self.0.file.path().to_owned()])).await),
            None => std::future::pending().await,
        };
        loop {
            tokio::select! {
                () = edited() => {}
                asked = reload.changed() => if asked.is_err() { return },
            }
            self.reload().await;
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
}

/// Watches the folder of a file, for editors put a new file in the place of the old one.
fn watch(file: &Path, clock: Clock) -> io::Result<FolderWatcher> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    FolderWatcher::new(folder, clock)
}
