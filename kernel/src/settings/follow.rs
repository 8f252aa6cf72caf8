//! The file is edited: what it says now is put in force, or nothing is.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Settings;
use prx_base::config::{Changes, Config};

/// The file is taken up when it has stayed the same for so long.
const QUIET: Duration = Duration::from_millis(200);

impl Settings {
    /// From now on an edit of the file does what a PATCH would.
    pub(super) fn follow(self, stopping: CancellationToken) {
        let changed = Arc::new(Notify::new());
        let watcher = match watch(self.0.file.path(), Arc::clone(&changed)) {
            Ok(watcher) => watcher,
            Err(error) => {
                let file = self.0.file.path().display();
                warn!("edits of {file} are only felt after a restart: it can't be watched: {error}");
                return;
            }
        };
        tokio::spawn(async move {
            let _watcher = watcher;
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = changed.notified() => {}
                }
                self.settle().await;
                self.take_up().await;
            }
        });
    }

    /// Ends when nobody writes the file any more.
    async fn settle(&self) {
        let read = || self.0.file.read().ok();
        let mut text = read();
        loop {
            self.0.parts.clock.sleep(QUIET).await;
            let now = read();
            if now == text {
                return;
            }
            text = now;
        }
    }

    async fn take_up(&self) {
        let mut in_force = self.0.text.lock().await;
        let text = match self.on_disk(in_force.as_deref()) {
            Ok(text) if text == *in_force => return self.resolve(None),
            Ok(text) => text.unwrap_or_default(),
            Err(problem) => return self.resolve(Some(problem)),
        };
        match self.checked(text.clone()).await {
            Ok(config) => {
                *in_force = Some(text);
                let before = self.0.parts.config.current();
                let updated = Changes { before: &before, after: &config }.keys();
                let reload_required = Changes::need_restart(&updated);
                self.put_in_force(config, &updated, reload_required).await;
            }
            Err(problem) => self.resolve(Some(problem)),
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

/// Watches the folder of a file, for editors put a new file in the place of the old one. Not only by its name, for
/// it may be a link to what changes.
fn watch(file: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too, and what follows a change is that it is read.
        let reads = |kind: EventKind| matches!(kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        if event.is_ok_and(|event| !reads(event.kind)) {
            changed.notify_one();
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
