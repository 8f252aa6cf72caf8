//! The configuration file: read whole, replaced whole, and overruled by the command line.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::load::{Invalid, Parsed, parse};
use super::patch::{Patched, patch};
use super::sections::Config;

/// What the command line says over the file. It is never written to it.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Instead of `gateway.host`.
    pub host: Option<String>,
    /// Instead of `gateway.port`.
    pub port: Option<u16>,
    /// `plugins.watch`, whatever the file says.
    pub watch: bool,
}

/// Where the configuration is, and what overrules it.
#[derive(Debug, Clone)]
pub struct File {
    path: PathBuf,
    required: bool,
    overrides: Overrides,
    data_dir: Option<PathBuf>,
}

/// A configuration and what it was read from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The file it is from.
    pub file: File,
    /// The file's text; none if there is no file.
    pub text: Option<String>,
    /// What it says.
    pub config: Config,
}

impl File {
    /// A file. One that is not there is an error only if `required`: without one, the defaults serve.
    pub fn new(path: PathBuf, required: bool, overrides: Overrides) -> Self {
        Self { path, required, overrides, data_dir: None }
    }

    /// With what is remembered of it in this data directory.
    #[must_use]
    pub fn remembered_in(self, data_dir: PathBuf) -> Self {
        Self { data_dir: Some(data_dir), ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// It can't be read or can't be served.
    pub fn load(self) -> Result<Loaded, Invalid> {
        let text = self.read()?;
        if text.as_deref().is_some_and(is_blank) && self.was_filled() {
            let words = "is empty, and was not when it was last served; put it back, or write a comment into it if the \
                         defaults are meant";
            return Err(Invalid::whole(&self.path, words.to_owned()));
        }
        let config = match self.parse(text.clone().unwrap_or_default()) {
            Ok(parsed) => parsed.config,
            Err(invalid) => return Err(self.with_backup(invalid)),
        };
        Ok(Loaded { file: self, text, config })
    }

    /// Its text; none if there is no file and none is required.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(&self) -> Result<Option<String>, Invalid> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound && !self.required => Ok(None),
            Err(error) => Err(Invalid::unreadable(&self.path, &error)),
        }
    }

    /// Parses and checks a text of it. The command line overrules what it says.
    ///
    /// # Errors
    /// It can't be served.
    pub fn parse(&self, text: String) -> Result<Parsed, Invalid> {
        let mut parsed = parse(&self.path, text)?;
        self.overrule(&mut parsed.config);
        Ok(parsed)
    }

    /// Applies changes such as `{"agent.max_turns": 100}` to a text of it. `null` takes a key out, so that its default
    /// serves again. Nothing is written.
    ///
    /// # Errors
    /// One message for each key that is wrong. Nothing is changed then.
    pub fn patch(&self, parsed: Parsed, changes: &Map<String, Value>) -> Result<Patched, Vec<String>> {
        let mut patched = patch(parsed, changes)?;
        self.overrule(&mut patched.config);
        Ok(patched)
    }

    /// Puts a text in its place, whole or not at all, if it still has the text that was read. A new file is for its
    /// owner only. Where nothing can take the file's place, for it is mounted or its folder is closed, it is written
    /// where it is, and what it said before is kept in the data directory meanwhile. Returns whether it was written.
    ///
    /// # Errors
    /// The disk refuses. The file says what it said before.
    pub fn replace(&self, read: Option<&str>, text: &str) -> io::Result<bool> {
        // Where the path is a link, what it leads to is replaced, not the link.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = Path::new(&partial);
        let prepared = write_beside(partial, &path, text);
        if current(&path)?.as_deref() != read {
            remove(partial);
            return Ok(false);
        }
        let renamed = prepared.and_then(|()| fs::rename(partial, &path));
        match renamed {
            Ok(()) => fs::File::open(folder)?.sync_all()?,
            Err(error) => {
                remove(partial);
                match read {
                    Some(read) if stays_where_it_is(&error) => self.write_in_place(&path, read, text)?,
                    _ => return Err(error),
                }
            }
        }
        Ok(true)
    }

    fn write_in_place(&self, path: &Path, read: &str, text: &str) -> io::Result<()> {
        if let Some(backup) = self.backup() {
            remove(&backup);
            write_new(&backup, read, Permissions::from_mode(0o600))?;
        }
        overwrite(path, text).or_else(|error| {
            overwrite(path, read)?;
            Err(error)
        })?;
        if let Some(backup) = self.backup() {
            remove(&backup);
        }
        Ok(())
    }

    /// Where its text is kept while it is written in place.
    fn backup(&self) -> Option<PathBuf> {
        Some(self.data_dir.as_ref()?.join("prx.toml.backup"))
    }

    /// Remembers that it was served with something in it, so that an empty file in its place is no configuration.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn remember(&self, text: &str) -> io::Result<()> {
        let Some(mark) = self.mark() else { return Ok(()) };
        let path = self.path.as_os_str().as_encoded_bytes();
        match fs::read(&mark) {
            _ if is_blank(text) => match fs::remove_file(mark) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            Ok(known) if known == path => Ok(()),
            _ => fs::write(mark, path),
        }
    }

    /// Whether it had something in it when it was last served.
    fn was_filled(&self) -> bool {
        let path = self.path.as_os_str().as_encoded_bytes();
        self.mark().and_then(|mark| fs::read(mark).ok()).is_some_and(|known| known == path)
    }

    fn mark(&self) -> Option<PathBuf> {
        Some(self.data_dir.as_ref()?.join("prx.toml.seen"))
    }

    /// A write in place that broke off has left a copy.
    fn with_backup(&self, invalid: Invalid) -> Invalid {
        match self.backup().filter(|backup| backup.exists()) {
            Some(backup) => {
                let words =
                    format!("a change of it broke off; what it said before is in {}", backup.display());
                invalid.and(&self.path, words)
            }
            None => invalid,
        }
    }

    fn overrule(&self, config: &mut Config) {
        let Overrides { host, port, watch } = &self.overrides;
        if let Some(host) = host {
            config.gateway.host.clone_from(host);
        }
        if let Some(port) = port {
            config.gateway.port = *port;
        }
        config.plugins.watch |= watch;
    }
}

/// Whether a text says nothing at all: a file without even a comment.
pub fn is_blank(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim().is_empty()
}

/// The text of a file; none if there is none.
fn current(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes what is to take a file's place, with that one's permissions.
fn write_beside(partial: &Path, path: &Path, text: &str) -> io::Result<()> {
    let permissions = fs::metadata(path).map_or(Permissions::from_mode(0o600), |file| file.permissions());
    remove(partial);
    write_new(partial, text, permissions)
}

fn write_new(path: &Path, text: &str, permissions: Permissions) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(permissions)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

/// Takes away what may not be there.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!("{} is left behind: {error}", path.display());
    }
}

/// Whether a file can't be replaced and may still be written: it is mounted, or its folder can't be changed.
fn stays_where_it_is(error: &io::Error) -> bool {
    use ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), ResourceBusy | PermissionDenied | ReadOnlyFilesystem | CrossesDevices)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_command_line_overrules_the_file_and_stays_out_of_it() {
        let overrides = Overrides { host: None, port: Some(7), watch: true };
        let file = File::new("prx.toml".into(), false, overrides);
        let changes = json!({"agent.max_turns": 9});
        let parsed = file.parse("[gateway]\nport = 5\n".into()).unwrap();
        assert_eq!(parsed.config.gateway.port, 7);
        let patched = file.patch(parsed, changes.as_object().unwrap()).unwrap();
        assert_eq!((patched.config.gateway.port, patched.config.plugins.watch), (7, true));
        assert_eq!(patched.text, "[gateway]\nport = 5\n\n[agent]\nmax_turns = 9\n");
    }

    #[test]
    fn a_file_keeps_its_permissions_and_a_new_one_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::new(folder.path().join("new/prx.toml"), false, Overrides::default());
        let mode = || fs::metadata(file.path()).unwrap().permissions().mode() & 0o777;
        assert!(file.replace(None, "a = 1\n").unwrap());
        assert_eq!(mode(), 0o600);
        fs::set_permissions(file.path(), Permissions::from_mode(0o640)).unwrap();
        assert!(!file.replace(None, "b = 2\n").unwrap(), "someone has written it meanwhile");
        assert!(file.replace(Some("a = 1\n"), "b = 2\n").unwrap());
        assert_eq!((mode(), fs::read_to_string(file.path()).unwrap().as_str()), (0o640, "b = 2\n"));
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.toml"), folder.path().join("prx.toml"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        File::new(link.clone(), true, Overrides::default()).replace(Some(""), "a = 1\n").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "a = 1\n");
    }

    #[test]
    fn what_cannot_be_replaced_is_written_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, data) = (folder.path().join("prx.toml"), folder.path().join("data"));
        fs::create_dir(&data).unwrap();
        fs::write(&path, "long = \"old\"\n").unwrap();
        let file = File::new(path.clone(), true, Overrides::default()).remembered_in(data.clone());
        file.write_in_place(&path, "long = \"old\"\n", "a = 1\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a = 1\n");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "no copy of its secrets is left");
    }

    #[test]
    fn an_empty_file_is_a_configuration_unless_it_had_something_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prx.toml");
        let file = File::new(path.clone(), true, Overrides::default()).remembered_in(folder.path().into());
        let load = |text: &str| {
            fs::write(&path, text).unwrap();
            file.clone().load()
        };
        load("").unwrap();
        file.remember("[agent]\nmax_turns = 3\n").unwrap();
        for empty in ["", "\u{feff}", " \r\n\n"] {
            let refused = load(empty).unwrap_err().to_string();
            assert!(refused.contains("is empty, and was not"), "{refused}");
        }
        load("# the defaults are meant\n").unwrap();
        fs::write(folder.path().join("prx.toml.backup"), "").unwrap();
        let broken = load("[agent\n").unwrap_err().to_string();
        assert!(broken.contains("what it said before is in"), "{broken}");
    }
}
