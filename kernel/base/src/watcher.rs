//! Watches the files of a folder.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::clock::Clock;

/// How long a file must stay the same before its change is reported: whoever writes it may not be done.
pub const SETTLE_TIME: Duration = Duration::from_millis(200);

/// Watches the files of a folder, but not of the folders in it, until it is dropped.
pub struct FolderWatcher {
    pending: Arc<Pending>,
    clock: Clock,
    watcher: RecommendedWatcher,
}

/// How often a file is looked at whose changes the system may not report: one that is mounted, or on a network.
pub const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Watches one file, wherever links lead, and also where the system reports nothing.
pub struct FileWatcher {
    path: PathBuf,
    clock: Clock,
    folders: Vec<FolderWatcher>,
    /// What the file was when it was last reported.
    known: Version,
}

/// What changed in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// These files.
    Files(BTreeSet<PathBuf>),
    /// Any of them: the system could not keep up.
    Any,
}

/// Changes that have not been reported yet.
#[derive(Default)]
struct Pending {
    /// Held to add a change or to take all, never across an await.
    changed: Mutex<Option<Changed>>,
    added: Notify,
}

impl FolderWatcher {
    /// Starts to watch a folder.
    ///
    /// # Errors
    /// The folder is not there, or the system can't watch it.
    pub fn new(folder: &Path, clock: Clock) -> io::Result<Self> {
        let pending = Arc::new(Pending::default());
        let handler = {
            let (pending, folder) = (Arc::clone(&pending), folder.to_owned());
            move |event: notify::Result<Event>| match event {
                Ok(event) => pending.add(event),
                Err(error) => tracing::warn!("watching {}: {error}", folder.display()),
            }
        };
        let mut watcher = notify::recommended_watcher(handler).map_err(io::Error::other)?;
        watcher.watch(folder, RecursiveMode::NonRecursive).map_err(io::Error::other)?;
        Ok(Self { pending, clock, watcher })
    }

    /// Watches the files of another folder besides.
    ///
    /// # Errors
    /// As [`FolderWatcher::new`].
    pub fn add(&mut self, folder: &Path) -> io::Result<()> {
        self.watcher.watch(folder, RecursiveMode::NonRecursive).map_err(io::Error::other)
    }

    /// Waits until anything changes, whether or not it is left alone again.
    pub async fn stirred(&self) {
        self.pending.added.notified().await;
        self.pending.take();
    }

    /// Waits until files have changed and are left alone again. `concerned` says which files a change concerns; one
    /// that concerns none is ignored.
    pub async fn changed(&self, concerned: impl Fn(Changed) -> BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let pending = || self.pending.take().map(&concerned).unwrap_or_default();
        let mut files = BTreeSet::new();
        while files.is_empty() {
            self.pending.added.notified().await;
            files = pending();
        }
        loop {
            let before = versions(&files);
            self.clock.sleep(SETTLE_TIME).await;
            files.extend(pending());
            if versions(&files) == before {
                return files;
            }
        }
    }
}

impl FileWatcher {
    /// Starts to watch a file, which need not be there.
    pub fn new(path: PathBuf, clock: Clock) -> Self {
        let mut watcher = Self { folders: Vec::new(), known: version(&path), path, clock };
        watcher.watch_folders();
        watcher
    }

    /// Waits until the file has changed and is left alone again.
    pub async fn changed(&mut self) {
        while version(&self.path) == self.known {
            tokio::select! {
                () = self.folder_changed() => {}
                () = self.clock.sleep(POLL_INTERVAL) => {}
            }
        }
        loop {
            self.known = version(&self.path);
            self.clock.sleep(SETTLE_TIME).await;
            if version(&self.path) == self.known {
                break;
            }
        }
        self.watch_folders();
    }

    async fn folder_changed(&self) {
        let anything = |_| BTreeSet::from([self.path.clone()]);
        match &self.folders[..] {
            [] => std::future::pending().await,
            [one] => _ = one.changed(anything).await,
            [one, other, ..] => tokio::select! {
                _ = one.changed(anything) => {}
                _ = other.changed(anything) => {}
            },
        }
    }

    /// Watches the folder that the path is in, for editors put a new file in the place of the old one, and the one that
    /// links lead to. What can't be watched is polled alone.
    fn watch_folders(&mut self) {
        let target = fs::canonicalize(&self.path).ok();
        let folders: BTreeSet<PathBuf> = [Some(self.path.clone()), target]
            .into_iter()
            .flatten()
            .filter_map(|file| match file.parent() {
                Some(folder) if folder.as_os_str().is_empty() => Some(PathBuf::from(".")),
                folder => folder.map(Path::to_owned),
            })
            .collect();
        let watch = |folder: &PathBuf| FolderWatcher::new(folder, self.clock.clone()).ok();
        self.folders = folders.iter().filter_map(watch).collect();
    }
}

impl Pending {
    fn add(&self, event: Event) {
        // Reading a file is an event too, and what follows a change is that it is read.
        if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) {
            return;
        }
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        *changed = match changed.take() {
            _ if event.need_rescan() => Some(Changed::Any),
            None => Some(Changed::Files(event.paths.into_iter().collect())),
            Some(Changed::Any) => Some(Changed::Any),
            Some(Changed::Files(mut files)) => {
                files.extend(event.paths);
                Some(Changed::Files(files))
            }
        };
        self.added.notify_one();
    }

    fn take(&self) -> Option<Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What tells a file from what it was before it was written or replaced; none if there is none.
pub type Version = Option<(u64, u64, u64, i64, i64)>;

/// The version of a file; where it is a link, of what it leads to.
pub fn version(file: &Path) -> Version {
    let found = fs::metadata(file).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

fn versions(files: &BTreeSet<PathBuf>) -> Vec<Version> {
    files.iter().map(|file| version(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_reported_for_the_files_it_concerns() {
        let folder = tempfile::tempdir().unwrap();
        let watcher = FolderWatcher::new(folder.path(), Clock::system()).unwrap();
        let [ours, other] = ["ours.toml", "other.log"].map(|name| folder.path().join(name));
        let concerned = |changed| match changed {
            Changed::Files(files) => files.into_iter().filter(|file| *file == ours).collect(),
            Changed::Any => BTreeSet::from([ours.clone()]),
        };
        let expected = BTreeSet::from([ours.clone()]);
        fs::write(&other, "1").unwrap();
        fs::write(&ours, "1").unwrap();
        assert_eq!(watcher.changed(concerned).await, expected, "a new file");
        fs::write(&other, "2").unwrap();
        fs::rename(&other, &ours).unwrap();
        assert_eq!(watcher.changed(concerned).await, expected, "another in its place");
        fs::remove_file(&ours).unwrap();
        assert_eq!(watcher.changed(concerned).await, expected, "none any more");
    }

    #[tokio::test]
    async fn a_file_is_watched_where_links_lead() {
        let folder = tempfile::tempdir().unwrap();
        let [real, other] = ["one", "two"].map(|name| folder.path().join(name).join("prx.toml"));
        for file in [&real, &other] {
            fs::create_dir(file.parent().unwrap()).unwrap();
            fs::write(file, "1").unwrap();
        }
        let link = folder.path().join("prx.toml");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut watcher = FileWatcher::new(link.clone(), Clock::system());
        fs::write(&real, "22").unwrap();
        watcher.changed().await;
        let another = folder.path().join("link");
        std::os::unix::fs::symlink(&other, &another).unwrap();
        fs::rename(&another, &link).unwrap();
        watcher.changed().await;
        fs::write(&other, "333").unwrap();
        watcher.changed().await;
        fs::remove_file(&other).unwrap();
        watcher.changed().await;
    }

    #[test]
    fn a_folder_that_is_not_there_cannot_be_watched() {
        assert!(FolderWatcher::new(Path::new("/nowhere/at/all"), Clock::system()).is_err());
    }
}
