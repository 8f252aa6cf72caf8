//! Which files lie beside a SKILL.md.

use std::fmt;

use cap_std::fs::Dir;

use super::file::SKILL_FILE;

/// Most files that are listed.
const MAX_FILES: usize = 100;
/// Most entries of folders that are looked at for it.
const MAX_ENTRIES: usize = 2000;
/// How many folders deep is looked.
const MAX_DEPTH: usize = 4;

/// A file beside a SKILL.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Its path within the skill's folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// The files beside a SKILL.md, by path: a line each, with its size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// As many as are listed.
    pub files: Vec<Beside>,
    /// There are more.
    pub more: bool,
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Beside { path, bytes } in &self.files {
            writeln!(f, "- {path} ({bytes} bytes)")?;
        }
        if self.more { writeln!(f, "- and more") } else { Ok(()) }
    }
}

/// Lists the files of a folder and of those in it, without what is hidden. What can't be read is left out.
pub(crate) fn of(folder: &Dir) -> Listing {
    let mut walk = Walk { listing: Listing::default(), left: MAX_ENTRIES };
    walk.enter(folder, "", MAX_DEPTH);
    let Walk { mut listing, .. } = walk;
    listing.files.sort_by(|one, other| one.path.cmp(&other.path));
    listing.more |= listing.files.len() > MAX_FILES;
    listing.files.truncate(MAX_FILES);
    listing
}

struct Walk {
    listing: Listing,
    /// Entries that may still be looked at.
    left: usize,
}

impl Walk {
    fn enter(&mut self, folder: &Dir, prefix: &str, depth: usize) {
        let Ok(entries) = folder.entries() else { return };
        for entry in entries.flatten() {
            let Some(left) = self.left.checked_sub(1) else {
                self.listing.more = true;
                return;
            };
            self.left = left;
            let name = entry.file_name();
            let Some(name) =
                name.to_str().filter(|name| !is_hidden(name) && !name.contains(char::is_control))
            else {
                continue;
            };
            let path = format!("{prefix}{name}");
            // Links are followed to files, and not into folders, which may be those they lie in.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                match folder.open_dir(name) {
                    Ok(inner) if depth > 1 => self.enter(&inner, &format!("{path}/"), depth - 1),
                    Ok(_) => self.listing.more = true,
                    Err(_) => {}
                }
            } else if path != SKILL_FILE
                && let Ok(about) = folder.metadata(name)
                && about.is_file()
            {
                self.listing.files.push(Beside { path, bytes: about.len() });
            }
        }
    }
}

/// Whether a name is one of those that are not shown.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}
