//! Follows the folder of skills: what is added, edited or taken away counts at once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use prx_base::clock::Clock;
use prx_base::watcher::{FolderWatcher, POLL_INTERVAL, SETTLE_TIME, Version, version};
use tracing::warn;

use super::file::SKILL_FILE;
use super::folder::{Found, MAX_SKILLS, SkillFolder};

/// Follows the folder of skills.
pub struct Follower {
    folder: SkillFolder,
    clock: Clock,
    /// None where the system can't watch: it is looked at from time to time all the same.
    watcher: Option<FolderWatcher>,
    /// What was there when it was read last.
    known: Vec<Look>,
}

/// A file or folder and its version, with the time of the last change of what may be done with it.
type Look = (PathBuf, Version, Option<(i64, i64)>);

impl Follower {
    /// Follows this folder, which is made where there is none.
    pub fn new(folder: SkillFolder, clock: Clock) -> Self {
        Self { folder, clock, watcher: None, known: Vec::new() }
    }

    /// Reads all that lies there.
    pub async fn scan(&mut self) -> Found {
        let (folder, clock) = (self.folder.clone(), self.clock.clone());
        let scanned = tokio::task::spawn_blocking(move || {
            if let Err(error) = folder.make() {
                warn!("{}: it can't be made: {error}", folder.path().display());
            }
            // What changes while it is read is noticed afterwards.
            let watcher = watch(&folder, clock);
            (watcher, looks(&folder), folder.scan())
        });
        match scanned.await {
            Ok((watcher, known, found)) => {
                (self.watcher, self.known) = (watcher, known);
                found
            }
            Err(error) => {
                Found { unreadable: Some(format!("the folder was not read: {error}")), ..Found::default() }
            }
        }
    }

    /// Waits until something there has changed since it was read, and is left alone again.
    pub async fn changed(&self) {
        loop {
            tokio::select! {
                () = stirred(self.watcher.as_ref()) => {}
                () = self.clock.sleep(POLL_INTERVAL) => {}
            }
            let mut now = self.look().await;
            if now == self.known {
                continue;
            }
            loop {
                self.clock.sleep(SETTLE_TIME).await;
                let later = self.look().await;
                if later == now {
                    return;
                }
                now = later;
            }
        }
    }

    async fn look(&self) -> Vec<Look> {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || looks(&folder)).await.unwrap_or_default()
    }
}

async fn stirred(watcher: Option<&FolderWatcher>) {
    match watcher {
        Some(watcher) => watcher.stirred().await,
        None => std::future::pending().await,
    }
}

/// Watches the folder and those in it.
fn watch(folder: &SkillFolder, clock: Clock) -> Option<FolderWatcher> {
    let mut watcher = FolderWatcher::new(folder.path(), clock).ok()?;
    for name in folder.names().unwrap_or_default().iter().take(MAX_SKILLS) {
        // One that is gone by now is missed in the folder of all.
        let _ = watcher.add(&folder.path().join(name));
    }
    Some(watcher)
}

fn looks(folder: &SkillFolder) -> Vec<Look> {
    let mut looks = vec![look(folder.path())];
    for name in folder.names().unwrap_or_default().iter().take(MAX_SKILLS) {
        let path = folder.path().join(name);
        looks.push(look(&path.join(SKILL_FILE)));
        looks.push(look(&path));
    }
    looks
}

fn look(path: &Path) -> Look {
    let changed = fs::metadata(path).ok().map(|about| (about.ctime(), about.ctime_nsec()));
    (path.to_owned(), version(path), changed)
}
