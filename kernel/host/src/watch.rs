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

/// How long a file must not change before it is loaded.
const DEBOUNCE: Duration = Duration::from_millis(200);

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

/// Plugins whose files have changed and that are not reloaded yet.
#[derive(Default)]
struct Pending {
    /// The lock is held to add a name or take all.
    names: Mutex<BTreeSet<String>>,
    more: Notify,
}

impl Pending {
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
        let mut pending = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        pending.extend(names);
        if !pending.is_empty() {
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
        let pending = Arc::new(Pending::default());
        let handler = {
            let (pending, folder) = (Arc::clone(&pending), folder.clone());
            move |event| pending.note(event, &folder)
        };
        let mut watcher = notify::recommended_watcher(handler).map_err(Error::internal)?;
        watcher.watch(folder.path(), RecursiveMode::NonRecursive).map_err(Error::internal)?;
        let plugins = self.clone();
        let task = tokio::spawn(async move {
            loop {
                pending.more.notified().await;
                debounce(&pending, &clock).await;
                for name in pending.take() {
                    if let Err(error) = plugins.sync_with_file(&name).await {
                        tracing::warn!(plugin = name, "its file changed: {error}");
                    }
                }
            }
        });
        Ok(Watch { _watcher: watcher, task })
    }
}

/// Returns when nothing more has changed for a while.
async fn debounce(pending: &Pending, clock: &Clock) {
    loop {
        tokio::select! {
            () = pending.more.notified() => {}
            () = clock.sleep(DEBOUNCE) => return,
        }
    }
}
