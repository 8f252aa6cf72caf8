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
        Self { path, required, overrides }
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
        let config = self.parse(text.clone().unwrap_or_default())?.config;
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

    /// Puts a text in its place, whole or not at all. A new file is for its owner only.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&self, text: &str) -> io::Result<()> {
        // Where the path is a link, what it leads to is replaced, not the link.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let permissions =
            fs::metadata(&path).map_or(Permissions::from_mode(0o600), |file| file.permissions());
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.set_permissions(permissions)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, &path)?;
        fs::File::open(folder)?.sync_all()
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
        file.write("a = 1\n").unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(file.path(), Permissions::from_mode(0o640)).unwrap();
        file.write("b = 2\n").unwrap();
        assert_eq!((mode(), fs::read_to_string(file.path()).unwrap().as_str()), (0o640, "b = 2\n"));
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.toml"), folder.path().join("prx.toml"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        File::new(link.clone(), true, Overrides::default()).write("a = 1\n").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "a = 1\n");
    }
}
