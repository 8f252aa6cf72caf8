//! What there is in a directory.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

/// Deepest directory that is looked into: one handle is open for each level. What is deeper counts as full.
const MAX_DEPTH: usize = 32;

/// Bytes, and files and directories.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

impl Count {
    const FULL: Self = Self { bytes: u64::MAX, entries: u64::MAX };

    pub(super) const fn plus(self, more: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(more.bytes),
            entries: self.entries.saturating_add(more.entries),
        }
    }

    pub(super) const fn minus(self, less: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(less.bytes),
            entries: self.entries.saturating_sub(less.entries),
        }
    }
}

/// Walks a directory, following no link. Stops where there are more than `most` entries.
pub(super) fn directory(path: &Path, most: u64) -> io::Result<Count> {
    let mut found = Count::default();
    let mut levels = vec![Dir::open_ambient_dir(path, ambient_authority())?.entries()?];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.next() else {
            levels.pop();
            continue;
        };
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        found = found.plus(Count { bytes: if metadata.is_dir() { 0 } else { metadata.len() }, entries: 1 });
        if found.entries > most {
            break;
        }
        if metadata.is_dir() {
            if levels.len() == MAX_DEPTH {
                return Ok(Count::FULL);
            }
            levels.push(entry.open_dir()?.entries()?);
        }
    }
    Ok(found)
}

/// Files that are open and were removed.
pub(super) fn removed(open: &[Arc<File>]) -> io::Result<Count> {
    let mut found = Count::default();
    for file in open {
        let metadata = file.metadata()?;
        if metadata.nlink() == 0 {
            found = found.plus(Count { bytes: metadata.len(), entries: 1 });
        }
    }
    Ok(found)
}
