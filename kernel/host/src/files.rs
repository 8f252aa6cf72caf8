//! Private directories of plugins, `<data-dir>/files/<plugin>`, and how much of its quota each has used.
//!
//! What is used is counted from above: everything that may grow adds to the count before it happens, and nothing
//! is taken off. Only where the count reaches the quota, and something may have become less since it was made, the
//! directory is walked and counted anew. So neither two instances at work at once nor files that were removed while
//! they are open get past the quota, and a write costs one addition.

mod count;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Semaphore;

use self::count::Count;
use super::manifest::format_size;

/// Most files and directories of one plugin.
const MAX_ENTRIES: u64 = 10_000;

/// The private directories of all plugins.
#[derive(Debug)]
pub(crate) struct Folders {
    root: PathBuf,
    /// Those in use: all generations of a plugin have one.
    open: Mutex<HashMap<String, Weak<Folder>>>,
}

impl Folders {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { root: data_dir.join("files"), open: Mutex::default() }
    }

    /// The directory of a plugin, made where it isn't there yet, for its owner only.
    ///
    /// # Errors
    /// It can't be made.
    pub(crate) fn of(&self, plugin: &str, quota: u64) -> io::Result<Files> {
        let path = self.root.join(plugin);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, folder| folder.strong_count() > 0);
        let known = open.get(plugin).and_then(Weak::upgrade);
        let folder = known.unwrap_or_else(|| {
            let folder = Arc::new(Folder::new(path));
            open.insert(plugin.to_owned(), Arc::downgrade(&folder));
            folder
        });
        Ok(Files { folder, quota })
    }
}

/// The quota, or the most files, would be exceeded.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the quota of its private directory is used up")]
pub(crate) struct Full;

/// A plugin's private directory, as far as one generation may fill it.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    folder: Arc<Folder>,
    quota: u64,
}

impl Files {
    pub(crate) fn path(&self) -> &Path {
        &self.folder.path
    }

    /// The quota, as the operator would write it.
    pub(crate) fn quota(&self) -> String {
        format!("{} in {MAX_ENTRIES} files and directories", format_size(self.quota))
    }

    /// Bytes that can be added for certain.
    pub(crate) fn room(&self) -> u64 {
        self.quota.saturating_sub(self.folder.usage().used.bytes)
    }

    /// Takes `bytes` of the quota for a write that is about to begin. The answer is held until it is over.
    ///
    /// # Errors
    /// So much can't be added for certain; it may be after [`recount`](Self::recount).
    pub(crate) fn take(&self, bytes: u64) -> Result<Growth, Full> {
        self.grow(Count { bytes, entries: 0 })
    }

    /// The same, counting anew where that may help.
    ///
    /// # Errors
    /// So much can't be added.
    pub(crate) async fn reserve(&self, bytes: u64) -> Result<Growth, Full> {
        self.reserve_count(Count { bytes, entries: 0 }).await
    }

    /// Takes one of the files and directories that there may be.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(crate) async fn reserve_entry(&self) -> Result<Growth, Full> {
        self.reserve_count(Count { bytes: 0, entries: 1 }).await
    }

    /// Notes that there may be less now than was counted.
    pub(crate) fn shrunk(&self) {
        self.folder.usage().stale = true;
    }

    /// Whether there may be less than was counted.
    pub(crate) fn is_stale(&self) -> bool {
        self.folder.usage().stale
    }

    /// Notes a file that was opened: should it be removed meanwhile, it takes its room until it is closed.
    pub(crate) fn opened(&self, file: &Arc<File>) {
        let mut open = self.folder.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len().is_power_of_two() {
            open.retain(|file| file.strong_count() > 0);
        }
        open.push(Arc::downgrade(file));
    }

    /// Counts anew, if that may help.
    pub(crate) async fn recount(&self) {
        // Never closed.
        let _permit = self.folder.counting.acquire().await;
        if self.folder.usage().stale {
            self.folder.count().await;
        }
    }

    fn grow(&self, more: Count) -> Result<Growth, Full> {
        let mut usage = self.folder.usage();
        let used = usage.used.plus(more);
        let fits = used.bytes <= self.quota && used.entries <= MAX_ENTRIES;
        // What takes nothing always fits: it may be what makes room.
        if !fits && more != Count::default() {
            return Err(Full);
        }
        usage.used = used;
        usage.ever = usage.ever.plus(more);
        usage.under_way = usage.under_way.plus(more);
        Ok(Growth { folder: Arc::clone(&self.folder), count: more, is_there: false })
    }

    async fn reserve_count(&self, more: Count) -> Result<Growth, Full> {
        if let Ok(growth) = self.grow(more) {
            return Ok(growth);
        }
        self.recount().await;
        self.grow(more)
    }
}

/// Something that is about to grow, until it has grown or has failed to. Dropped, it has perhaps not grown.
#[derive(Debug)]
pub(crate) struct Growth {
    folder: Arc<Folder>,
    count: Count,
    is_there: bool,
}

impl Growth {
    /// It has grown by as much as was taken for it.
    pub(crate) fn landed(mut self) {
        self.is_there = true;
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        let mut usage = self.folder.usage();
        usage.under_way = usage.under_way.minus(self.count);
        usage.stale |= !self.is_there;
    }
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    usage: Mutex<Usage>,
    /// The files that are open.
    open: Mutex<Vec<Weak<File>>>,
    /// One permit: counted once at a time.
    counting: Semaphore,
}

#[derive(Debug)]
struct Usage {
    /// Never less than there is.
    used: Count,
    /// Whether there may be less.
    stale: bool,
    /// Everything that was ever added.
    ever: Count,
    /// What was added and is perhaps not there yet.
    under_way: Count,
}

impl Folder {
    fn new(path: PathBuf) -> Self {
        // Full as long as nobody has counted.
        let used = Count { bytes: u64::MAX, entries: u64::MAX };
        let usage = Usage { used, stale: true, ever: Count::default(), under_way: Count::default() };
        Self { path, usage: Mutex::new(usage), open: Mutex::default(), counting: Semaphore::new(1) }
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn count(self: &Arc<Self>) {
        let (ever, under_way) = {
            let mut usage = self.usage();
            usage.stale = false;
            (usage.ever, usage.under_way)
        };
        let folder = Arc::clone(self);
        let walked = tokio::task::spawn_blocking(move || folder.walk()).await;
        let mut usage = self.usage();
        match walked.map_err(io::Error::other).flatten() {
            Ok(found) => usage.used = found.plus(usage.ever.minus(ever)).plus(under_way),
            Err(error) => {
                usage.stale = true;
                tracing::warn!(%error, "{} could not be counted", self.path.display());
            }
        }
    }

    fn walk(&self) -> io::Result<Count> {
        let open: Vec<_> = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.iter().filter_map(Weak::upgrade).collect()
        };
        Ok(count::directory(&self.path, MAX_ENTRIES)?.plus(count::removed(&open)?))
    }
}

#[cfg(test)]
mod tests;
