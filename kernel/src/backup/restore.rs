//! A backup becomes a data directory again: built beside its place, verified, and put there in one step.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::form::{BLOBS, CONFIG, FILES, PLUGINS, Problem, SKILLS};
use super::read::{Found, read};

/// Where a backup is to go.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The data directory. It is made, or empty, unless what is there is to be moved aside.
    pub data_dir: &'a Path,
    /// The configuration file.
    pub config: &'a Path,
    /// Move aside what is there.
    pub force: bool,
    /// When this is.
    pub at: Timestamp,
}

/// What was done.
#[derive(Debug)]
pub struct Restored {
    /// The backup.
    pub found: Found,
    /// The configuration file, where there is one in the backup.
    pub config: Option<PathBuf>,
    /// What was there before, where it is now.
    pub moved_aside: Vec<PathBuf>,
}

/// A folder that goes away with this, unless it is put in its place.
struct Staging {
    path: PathBuf,
    /// Whom what is in it belongs to, where that is another than who runs this.
    owner: Option<(u32, u32)>,
}

impl Drop for Staging {
    fn drop(&mut self) {
        // It is gone where it was put in place, and the next attempt removes it else.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Restore<'_> {
    /// Restores a backup. `verify` is shown the folder before it is put in place. Whatever fails, and whenever it is broken
    /// off, the data directory is what it was before, or all that the backup has.
    ///
    /// # Errors
    /// Something is there already; the backup can't be used; the disk refuses; or what `verify` says.
    pub async fn run(
        &self,
        backup: impl Read,
        verify: impl AsyncFnOnce(&Path) -> Result<(), Problem>,
    ) -> Result<Restored, Problem> {
        // Where the path is a link, what it leads to is replaced, not the link.
        let place = fs::canonicalize(self.data_dir).unwrap_or_else(|_| self.data_dir.to_owned());
        let occupied = self.look_at(&place)?;
        let staging = Staging::new(&place)?;
        let mut config = None;
        let found = read(backup, |path, bytes| match path {
            CONFIG => {
                let mut text = String::new();
                let read = bytes.read_to_string(&mut text);
                read.map_err(|error| Problem::damaged(format_args!("{CONFIG:?}: {error}")))?;
                config = Some(text);
                Ok(())
            }
            path => staging.take(path, bytes),
        })?;
        verify(&staging.path).await?;
        staging.give_away()?;
        let mut moved_aside = Vec::new();
        let config = match config {
            Some(text) => Some(self.configure(&text, &mut moved_aside)?),
            None => None,
        };
        moved_aside.extend(self.put(&staging, &place, occupied)?);
        Ok(Restored { found, config, moved_aside })
    }

    /// Whether there is something in its place.
    fn look_at(&self, place: &Path) -> Result<bool, Problem> {
        let of = |error| Problem::of(place, &error);
        let occupied = match fs::read_dir(place) {
            Ok(mut entries) => entries.next().transpose().map_err(of)?.is_some(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(of(error)),
        };
        if occupied && !self.force {
            let place = place.display();
            return Err(Problem::new(format!(
                "{place} is not empty; restore into another folder with --data-dir, or with --force, which moves this one aside"
            )));
        }
        let device = |path: &Path| fs::metadata(path).map(|folder| folder.dev());
        let parent = place.parent().unwrap_or(place);
        if device(place).map_err(of)? != device(parent).map_err(of)? {
            let place = place.display();
            return Err(Problem::new(format!(
                "{place} is a mount point, which nothing can be put in place of; name a folder in it with --data-dir"
            )));
        }
        Ok(occupied)
    }

    /// Puts the configuration in its place, if it is not there yet.
    fn configure(&self, text: &str, moved_aside: &mut Vec<PathBuf>) -> Result<PathBuf, Problem> {
        let path = fs::canonicalize(self.config).unwrap_or_else(|_| self.config.to_owned());
        let of = |error| Problem::of(&path, &error);
        match fs::read_to_string(&path) {
            Ok(there) if there == text => return Ok(path),
            Ok(_) if !self.force => {
                let path = path.display();
                return Err(Problem::new(format!(
                    "{path} is there, and says something else than the backup's configuration; name another file with \
                     --config, or give --force, which moves this one aside"
                )));
            }
            Ok(_) => {
                let aside = aside(&path, self.at);
                fs::copy(&path, &aside).map_err(of)?;
                moved_aside.push(aside);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(of(error)),
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(of)?;
        let partial = beside(&path, "partial");
        let written = write_new(&partial, &mut text.as_bytes()).and_then(|()| fs::rename(&partial, &path));
        written.map_err(|error| {
            // On a full disk it would take the room that others need.
            let _ = fs::remove_file(&partial);
            of(error)
        })?;
        Ok(path)
    }

    /// The one step. Returns where what was there is now.
    fn put(&self, staging: &Staging, place: &Path, occupied: bool) -> Result<Option<PathBuf>, Problem> {
        let of = |error: io::Error| Problem::of(place, &error);
        let moved = match occupied {
            // An empty folder gives way.
            false => {
                fs::rename(&staging.path, place).map_err(of)?;
                None
            }
            true => {
                let exchanged = renameat_with(CWD, &staging.path, CWD, place, RenameFlags::EXCHANGE);
                exchanged.map_err(|error| of(error.into()))?;
                let aside = aside(place, self.at);
                fs::rename(&staging.path, &aside).map_err(of)?;
                Some(aside)
            }
        };
        let parent = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(of)?;
        Ok(moved)
    }
}

impl Staging {
    /// Makes the folder, in place of one that an earlier attempt has left.
    fn new(place: &Path) -> Result<Self, Problem> {
        if place.file_name().is_none() {
            return Err(Problem::new(
                "the root folder can't be a data directory; name another with --data-dir",
            ));
        }
        let (path, owner) = (beside(place, "restoring"), fs::metadata(place).ok());
        let made = match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => DirBuilder::new().recursive(true).mode(0o700).create(&path),
        };
        made.map_err(|error| Problem::of(&path, &error))?;
        let own = fs::metadata(&path).map_err(|error| Problem::of(&path, &error))?.uid();
        let owner = owner.filter(|owner| owner.uid() != own).map(|owner| (owner.uid(), owner.gid()));
        let staging = Self { path, owner };
        for folder in [BLOBS, PLUGINS, SKILLS, FILES] {
            staging.folder(&staging.path.join(folder))?;
        }
        Ok(staging)
    }

    fn folder(&self, path: &Path) -> Result<(), Problem> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| Problem::of(path, &error))
    }

    fn take(&self, name: &str, bytes: &mut dyn Read) -> Result<(), Problem> {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            self.folder(folder)?;
        }
        write_new(&path, bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData => {
                Problem::broken(name, &error)
            }
            _ => Problem::of(&path, &error),
        })
    }

    /// Has all in it belong to whom the data directory belongs.
    fn give_away(&self) -> Result<(), Problem> {
        let Some((user, group)) = self.owner else { return Ok(()) };
        let mut left = vec![self.path.clone()];
        while let Some(path) = left.pop() {
            let inside = give(&path, user, group).map_err(|error| Problem::of(&path, &error))?;
            left.extend(inside);
        }
        Ok(())
    }
}

/// Has a file or a folder belong to someone; returns what is in the folder.
fn give(path: &Path, user: u32, group: u32) -> io::Result<Vec<PathBuf>> {
    let opened = File::open(path)?;
    fchown(&opened, Some(user), Some(group))?;
    match opened.metadata()?.is_dir() {
        true => fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect(),
        false => Ok(Vec::new()),
    }
}

/// Writes a file that is not there yet, for its owner only, to the disk.
fn write_new(path: &Path, bytes: &mut dyn Read) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::copy(bytes, &mut file)?;
    file.sync_all()
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    PathBuf::from(name)
}

/// Where what was there is moved to.
fn aside(path: &Path, at: Timestamp) -> PathBuf {
    beside(path, &format!("before-{}", at.strftime("%Y%m%dT%H%M%SZ")))
}
