//! The form of a backup: what is in it, under which names.

use std::fmt;
use std::io;
use std::path::{Component, Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use prx_store::{FILE, SERVED};

/// The version of the form that this prx writes. It reads earlier ones.
const FORMAT: u64 = 1;
/// The first entry.
pub(super) const HEADER: &str = "backup.json";
/// The last entry.
pub(super) const MANIFEST: &str = "manifest.json";
/// The configuration.
pub(super) const CONFIG: &str = "prx.toml";
/// The folder of the files that go with messages.
pub(super) const BLOBS: &str = "blobs";
/// The folder of plugins' components.
pub(super) const PLUGINS: &str = "plugins";
/// The folder of skills.
pub(super) const SKILLS: &str = "skills";
/// The folder of plugins' private directories.
pub(super) const FILES: &str = "files";
/// Longest path of an entry, in bytes.
pub(super) const MAX_PATH: usize = 255;

/// What a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of its form.
    format: u64,
    /// The version of the prx that has made it.
    pub prx: String,
    /// The version of the store's tables in it.
    store: u64,
    /// When it was begun: all that was acknowledged before is in it.
    pub created_at: Timestamp,
}

/// What a file in a backup has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) sha256: String,
}

/// All that is in a backup.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) entries: Vec<Entry>,
    /// Files of the data directory that are not in it, and why.
    pub(super) left_out: Vec<String>,
}

/// Why a backup can't be made or used, in a sentence that says what to do.
#[derive(Debug)]
pub struct Problem(String);

impl Header {
    pub(super) fn new(created_at: Timestamp) -> Self {
        Self { format: FORMAT, prx: env!("CARGO_PKG_VERSION").to_owned(), store: SERVED, created_at }
    }

    /// Whether this prx reads it.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let Self { format, prx, store, .. } = self;
        if *format <= FORMAT && *store <= SERVED {
            return Ok(());
        }
        let (own, what) = (env!("CARGO_PKG_VERSION"), format!("form {format}, store {store}"));
        Err(Problem::new(format!(
            "the backup is newer than this prx: {prx} has made it ({what}), and {own} reads form {FORMAT} and store \
             {SERVED}; restore it with prx {prx} or a later one"
        )))
    }
}

impl Problem {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// It was whole once.
    pub(super) fn damaged(what: impl fmt::Display) -> Self {
        Self(format!("the backup is damaged: {what}; use another one"))
    }

    /// One of its files can't be read.
    pub fn broken(path: &str, error: &io::Error) -> Self {
        Self::damaged(format_args!("{path:?}: {error}"))
    }

    /// The store in it can't be used.
    pub fn in_store(what: impl fmt::Display) -> Self {
        Self::damaged(format_args!("its store: {what}"))
    }

    /// Something can't be read or written.
    pub(super) fn of(path: &Path, error: &io::Error) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

/// Where a file of a backup goes in a data directory.
///
/// # Errors
/// Nowhere: its path leads out of the folder, or nothing of that name is ever in a backup.
pub(super) fn place(name: &[u8]) -> Result<&str, Problem> {
    let path = str::from_utf8(name).map_err(|_| foreign(&String::from_utf8_lossy(name)))?;
    let parts: Vec<Component<'_>> = Path::new(path).components().collect();
    let stays = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    if !stays || path.contains('\0') {
        return Err(Problem::damaged(format_args!("{path:?} leads out of the data directory")));
    }
    // Written in another way, a path could be there twice.
    let names: Vec<&str> = path.split('/').collect();
    let is_plain = names.len() == parts.len();
    match names.as_slice() {
        [CONFIG | FILE] => Ok(path),
        [BLOBS | PLUGINS, _] if is_plain => Ok(path),
        [SKILLS, _, ..] | [FILES, _, _, ..] if is_plain => Ok(path),
        _ => Err(foreign(path)),
    }
}

fn foreign(path: &str) -> Problem {
    Problem::damaged(format_args!("{path:?} does not belong into one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_backed_up_has_a_place() {
        for good in ["prx.toml", "prx.redb", "blobs/blob_1", "plugins/a.wasm.serving", "skills/a/b/c.md"] {
            assert_eq!(place(good.as_bytes()).unwrap(), good);
        }
        for (bad, why) in [
            ("../prx.toml", "leads out"),
            ("/etc/passwd", "leads out"),
            ("skills/../../x", "leads out"),
            ("skills/a\0b", "leads out"),
            ("blobs", "does not belong"),
            ("blobs/a/b", "does not belong"),
            ("skills//a", "does not belong"),
            ("skills/a/.", "does not belong"),
            ("skills/a/", "does not belong"),
            ("prx.sock", "does not belong"),
            ("cache/a.cwasm", "does not belong"),
            ("", "does not belong"),
        ] {
            let said = place(bad.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(why) && said.contains(&format!("{bad:?}")), "{said}");
        }
        assert!(place(b"blobs/\xff").unwrap_err().to_string().contains("does not belong"));
    }

    #[test]
    fn a_newer_backup_is_refused_by_its_version() {
        let header = Header::new(Timestamp::UNIX_EPOCH);
        header.check().unwrap();
        for newer in [
            Header { format: FORMAT + 1, prx: "9.8.7".into(), ..header.clone() },
            Header { store: SERVED + 1, prx: "9.8.7".into(), ..header },
        ] {
            let said = newer.check().unwrap_err().to_string();
            assert!(said.contains("restore it with prx 9.8.7 or a later one"), "{said}");
        }
    }
}
