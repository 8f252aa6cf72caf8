//! `--watch`: a plugin follows its file.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::folder::Folder;
use super::registry::Plugins;
use prx_base::clock::Clock;
use prx_base::error::{Error, Result};

/// A file is looked at when it has been left alone for so long.
const QUIET: Duration = Duration::from_millis(200);

/// Watches the folder for plugins until it is dropped.
pub struct Watch {
    _watcher: RecommendedWatcher,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What has been seen and not yet been looked at.
#[derive(Default)]
struct Seen {
    /// The lock is held to add a name or take all.
    names: Mutex<BTreeSet<String>>,
    more: Notify,
}

impl Seen {
    fn note(&self, event: notify::Result<Event>, folder: &Folder) {
        match event {
            Ok(event) if event.need_rescan() => self.add(folder.list().unwrap_or_default()),
            // Reading a file is an event too, and what follows a change is that it is read.
            Ok(Event { kind: EventKind::Access(kind), .. })
                if kind != AccessKind::Close(AccessMode::Write) => {}
            Ok(event) => {
                self.add(event.paths.iter().filter_map(|path| Folder::name_of(path)).map(str::to_owned));
            }
            Err(error) => tracing::warn!("watching the plugin folder: {error}"),
        }
    }

    fn add(&self, names: impl IntoIterator<Item = String>) {
        let mut seen = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(names);
        if !seen.is_empty() {
            self.more.notify_one();
        }
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Plugins {
    /// From now on a plugin follows its file: a changed one is reloaded, a new one loaded, and one whose file is
    /// gone is unloaded, or becomes the bundled one again.
    ///
    /// # Errors
    /// The folder cannot be watched; `conflict` in safe mode.
    pub fn watch(&self, clock: Clock) -> Result<Watch> {
        let folder = self.folder()?.clone();
        let seen = Arc::new(Seen::default());
        let handler = {
            let (seen, folder) = (Arc::clone(&seen), folder.clone());
            move |event| seen.note(event, &folder)
        };
        let mut watcher = notify::recommended_watcher(handler).map_err(Error::internal)?;
        watcher.watch(folder.path(), RecursiveMode::NonRecursive).map_err(Error::internal)?;
        let plugins = self.clone();
        let task = tokio::spawn(async move {
            loop {
                seen.more.notified().await;
                settle(&seen, &clock).await;
                for name in seen.take() {
                    if let Err(error) = plugins.follow(&name).await {
                        tracing::warn!(plugin = name, "its file changed: {error}");
                    }
                }
            }
        });
        Ok(Watch { _watcher: watcher, task })
    }
}

/// Ends when nothing has happened for a while.
async fn settle(seen: &Seen, clock: &Clock) {
    loop {
        tokio::select! {
            () = seen.more.notified() => {}
            () = clock.sleep(QUIET) => return,
        }
    }
}
