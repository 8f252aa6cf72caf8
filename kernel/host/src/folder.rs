//! `<data-dir>/plugins`: components on disk, and what `rollback` goes back to.
//!
//! Beside `<name>.wasm`, which belongs to the operator, lie copies that belong to the gateway: `<name>.wasm.serving`, the
//! last one that loaded, and those before it, each as `<name>.wasm.<sha256>`. So there is a way back also from a file that
//! was overwritten behind the gateway's back, even while it was not running. `plugins.lock` says what they are.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::inspect::{MAX_BYTES, inspect};
use super::lock::{self, Installed, Lock, Locked, remove_if_there};
use super::manifest::valid_name;
use prx_base::error::{Error, Result};
use prx_base::text::hex;

/// What a component that loaded is to its plugin's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loaded {
    /// The first one there.
    First,
    /// The one that loaded last.
    Again,
    /// Another than that one.
    InPlaceOfAnother,
}

/// A component that can be gone back to.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) bytes: Bytes,
    pub(super) record: Installed,
}

/// A cheap-clone handle to the folder.
#[derive(Debug, Clone)]
pub(super) struct Folder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// Held while the lock file is changed, in which all plugins are. Never across an await.
    changing: Mutex<()>,
}

impl Folder {
    /// The folder in this data directory; made, for its owner only, when there is none.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("plugins");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self(Arc::new(Inner { path, changing: Mutex::default() })))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    /// The plugin that a path in this folder would be the component of.
    pub(super) fn name_of(path: &Path) -> Option<&str> {
        let name = path.file_name()?.to_str()?.strip_suffix(".wasm")?;
        valid_name(name).then_some(name)
    }

    /// The plugins that have a component here, by name. Other files are left alone.
    pub(super) async fn names(&self) -> Result<Vec<String>> {
        self.run(|folder| folder.list()).await
    }

    /// As [`Folder::names`], where blocking is fine.
    pub(super) fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path())? {
            let path = entry?.path();
            match Self::name_of(&path) {
                Some(name) => names.push(name.to_owned()),
                None if path.extension().is_some_and(|extension| extension == "wasm") => {
                    tracing::warn!(file = %path.display(), "ignored: a plugin's file is named like weather.wasm");
                }
                None => {}
            }
        }
        names.sort();
        Ok(names)
    }

    /// Whether a plugin has a component here.
    pub(super) fn has(&self, name: &str) -> bool {
        self.component(name).exists()
    }

    /// A plugin's component.
    pub(super) async fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let name = name.to_owned();
        self.run(move |folder| read(&folder.component(&name))).await
    }

    /// A plugin's component, and where it is the one that loaded last, what is known of it.
    pub(super) async fn read_known(&self, name: &str) -> Result<Option<(Bytes, Option<Installed>)>> {
        let name = name.to_owned();
        self.run(move |folder| {
            let Some(bytes) = read(&folder.component(&name))? else { return Ok(None) };
            if read(&folder.beside(&name, "serving"))?.is_none_or(|serving| serving != bytes) {
                return Ok(Some((bytes, None)));
            }
            // One that can't be read keeps nothing from serving that has served.
            let locked =
                Lock::read(folder.path()).ok().and_then(|mut lock| lock.plugins.remove(&name)?.installed);
            let known = locked.unwrap_or_else(|| found(&bytes));
            Ok(Some((bytes, Some(known))))
        })
        .await
    }

    /// Puts a component in place, whole or not at all.
    pub(super) async fn write(&self, name: &str, bytes: Bytes) -> Result<()> {
        let name = name.to_owned();
        self.run(move |folder| replace(&folder.component(&name), &bytes)).await
    }

    /// What is known of a plugin's files.
    ///
    /// # Errors
    /// `conflict`: `plugins.lock` can't be understood.
    pub(super) async fn locked(&self, name: &str) -> Result<Locked> {
        let name = name.to_owned();
        self.run(move |folder| Ok(Lock::read(folder.path())?.plugins.remove(&name).unwrap_or_default())).await
    }

    /// Remembers that this component loaded, and `keep` of those that did so before it. Says which of them it is.
    pub(super) async fn loaded(
        &self,
        name: &str,
        bytes: Bytes,
        new: Installed,
        keep: usize,
    ) -> Result<Loaded> {
        let name = name.to_owned();
        self.run(move |folder| {
            let _changing = folder.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut lock = Lock::read(folder.path())?;
            let locked = lock.plugins.entry(name.clone()).or_default();
            let serving = folder.beside(&name, "serving");
            let old = read(&serving)?;
            let loaded = match &old {
                Some(old) if *old == bytes => Loaded::Again,
                Some(_) => Loaded::InPlaceOfAnother,
                None => Loaded::First,
            };
            let is_noted = locked.installed.as_ref().is_some_and(|known| known.sha256 == new.sha256);
            if loaded == Loaded::Again && is_noted {
                return Ok(loaded);
            }
            if loaded == Loaded::Again
                && let Some(other) = &locked.installed
            {
                let (found, noted) = (&new.sha256, &other.sha256);
                tracing::warn!(
                    plugin = name,
                    "plugins.lock had it with sha256 {noted}; what serves has {found}"
                );
            }
            folder.adopt(&name, locked)?;
            // By its content, so that what a crash leaves half done is done by the next one that loads.
            let before = match old.filter(|_| loaded == Loaded::InPlaceOfAnother) {
                Some(old) => Some(folder.keep(&name, &serving, &old, locked)?),
                None => locked.installed.take().filter(|known| folder.beside(&name, &known.sha256).exists()),
            };
            locked.install(new, before, keep);
            let kept: Vec<String> = locked.earlier.iter().map(|one| one.sha256.clone()).collect();
            folder.write_lock(&lock)?;
            if loaded != Loaded::Again {
                replace(&serving, &bytes)?;
            }
            folder.forget(&name, &kept)?;
            Ok(loaded)
        })
        .await
    }

    /// What `rollback` goes back to, the `n`th: from 1 on the component that loaded last when the file is another one by
    /// now, then those before.
    ///
    /// # Errors
    /// `conflict`: the one that is kept is no longer what it was.
    pub(super) async fn earlier(&self, name: &str, n: usize) -> Result<Option<Kept>> {
        let name = name.to_owned();
        self.run(move |folder| {
            let mut locked = Lock::read(folder.path())?.plugins.remove(&name).unwrap_or_default();
            let serving = read(&folder.beside(&name, "serving"))?;
            let serving = serving.filter(|serving| read(&folder.component(&name)).ok().flatten().as_ref() != Some(serving));
            let mut n = n;
            if let Some(bytes) = serving {
                if n == 1 {
                    let record = locked.installed.take().unwrap_or_else(|| found(&bytes));
                    return Ok(Some(Kept { bytes, record }));
                }
                n -= 1;
            }
            let Some(record) = n.checked_sub(1).and_then(|at| locked.earlier.get(at).cloned()) else {
                let previous = read(&folder.beside(&name, "previous"))?.filter(|_| n == locked.earlier.len() + 1);
                return Ok(previous.map(|bytes| Kept { record: found(&bytes), bytes }));
            };
            let path = folder.beside(&name, &record.sha256);
            match read(&path)? {
                Some(bytes) if digits(&bytes) == record.sha256 => Ok(Some(Kept { bytes, record })),
                other => {
                    let is = other.map_or("gone".to_owned(), |bytes| format!("changed: its sha256 is {}", digits(&bytes)));
                    let (path, version) = (path.display(), &record.version);
                    let message = format!(
                        "{name} {version} can't be gone back to: {path} is {is}; `prx plugin rollback {name} {}` goes \
                         further back",
                        n + 1
                    );
                    Err(io::Error::new(ErrorKind::InvalidData, message))
                }
            }
        })
        .await
    }

    /// What of a plugin's files is not as `plugins.lock` has it, a sentence each.
    pub(super) async fn verify(&self, name: &str) -> Result<Vec<String>> {
        let name = name.to_owned();
        self.run(move |folder| {
            let locked = Lock::read(folder.path())?.plugins.remove(&name).unwrap_or_default();
            let mut wrong = Vec::new();
            let mut compare = |path: PathBuf, known: Option<&Installed>, mends: &str| -> io::Result<()> {
                let (file, found) = (path.display(), read(&path)?.map(|bytes| digits(&bytes)));
                match (found, known) {
                    (Some(found), Some(Installed { sha256, version, .. })) if found != *sha256 => {
                        wrong.push(format!("{file} has sha256 {found}; plugins.lock has {sha256} ({version}): {mends}"));
                    }
                    (None, Some(Installed { version, .. })) => {
                        wrong.push(format!("{file} is gone; plugins.lock has it as {version}: {mends}"));
                    }
                    (Some(found), None) => {
                        wrong.push(format!("{file} (sha256 {found}) is not in plugins.lock: {mends}"));
                    }
                    _ => {}
                }
                Ok(())
            };
            let is_there = folder.has(&name);
            if is_there || locked.installed.is_some() {
                let mends = format!("`prx plugin reload {name}` takes the file up, `prx plugin rollback {name}` puts back what served");
                compare(folder.component(&name), locked.installed.as_ref(), &mends)?;
            }
            for earlier in &locked.earlier {
                compare(folder.beside(&name, &earlier.sha256), Some(earlier), "there is no way back to it")?;
            }
            Ok(wrong)
        })
        .await
    }

    /// Takes a plugin's component away; what there is to go back to stays.
    pub(super) async fn unlink(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.run(move |folder| {
            fs::remove_file(folder.component(&name))?;
            File::open(folder.path())?.sync_all()
        })
        .await
    }

    /// Takes a plugin's component away, with what there was to go back to.
    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.run(move |folder| {
            let _changing = folder.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut lock = Lock::read(folder.path())?;
            remove_if_there(&folder.component(&name))?;
            remove_if_there(&folder.beside(&name, "serving"))?;
            remove_if_there(&folder.beside(&name, "previous"))?;
            folder.forget(&name, &[])?;
            if lock.plugins.remove(&name).is_some() {
                folder.write_lock(&lock)?;
            }
            File::open(folder.path())?.sync_all()
        })
        .await
    }

    /// The digests of the components of a plugin that are kept to go back to.
    pub(super) async fn kept(&self, name: &str) -> Result<Vec<Bytes>> {
        let name = name.to_owned();
        self.run(move |folder| {
            let digests = folder.kept_digests(&name)?;
            let files = digests.iter().map(|digest| folder.beside(&name, digest));
            let files = files.chain([folder.component(&name), folder.beside(&name, "previous")]);
            Ok(files.filter_map(|file| read(&file).ok().flatten()).collect())
        })
        .await
    }

    /// Puts the component that served beside the others that are kept, and says what is known of it.
    fn keep(&self, name: &str, serving: &Path, bytes: &Bytes, locked: &mut Locked) -> io::Result<Installed> {
        let found = found(bytes);
        fs::rename(serving, self.beside(name, &found.sha256))?;
        Ok(locked.installed.take().filter(|known| known.sha256 == found.sha256).unwrap_or(found))
    }

    /// Takes up what is kept and not noted: by a gateway of an earlier version, or before the lock file was lost.
    fn adopt(&self, name: &str, locked: &mut Locked) -> io::Result<()> {
        let previous = self.beside(name, "previous");
        if let Some(bytes) = read(&previous)? {
            fs::rename(previous, self.beside(name, &digits(&bytes)))?;
        }
        let is_noted = |digest: &String| locked.earlier.iter().any(|known| known.sha256 == *digest);
        let mut strays = self.kept_digests(name)?;
        strays.retain(|digest| !is_noted(digest));
        strays.sort_by_key(|digest| {
            fs::metadata(self.beside(name, digest)).and_then(|file| file.modified()).ok()
        });
        for digest in strays.iter().rev() {
            let record = read(&self.beside(name, digest))?.map(|bytes| found(&bytes));
            locked.earlier.extend(record.filter(|record| record.sha256 == *digest));
        }
        Ok(())
    }

    /// Removes what is kept of a plugin, but for these.
    fn forget(&self, name: &str, but: &[String]) -> io::Result<()> {
        for digest in self.kept_digests(name)?.iter().filter(|digest| !but.contains(digest)) {
            remove_if_there(&self.beside(name, digest))?;
        }
        Ok(())
    }

    fn kept_digests(&self, name: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{name}.wasm.");
        let digest = |file: io::Result<fs::DirEntry>| {
            let file = file.ok()?.file_name();
            let rest = file.to_str()?.strip_prefix(&prefix)?;
            let is_digest = rest.len() == 64 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_digest.then(|| rest.to_owned())
        };
        Ok(fs::read_dir(self.path())?.filter_map(digest).collect())
    }

    fn write_lock(&self, lock: &Lock) -> io::Result<()> {
        let path = self.path().join(lock::FILE);
        match lock.text()? {
            Some(text) => replace(&path, text.as_bytes()),
            None => remove_if_there(&path),
        }
    }

    pub(super) fn component(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.wasm"))
    }

    fn beside(&self, name: &str, what: &str) -> PathBuf {
        self.path().join(format!("{name}.wasm.{what}"))
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> io::Result<R> + Send + 'static,
    ) -> Result<R> {
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || work(folder)).await.map_err(Error::internal)?;
        done.map_err(|error| match error.kind() {
            ErrorKind::InvalidData => Error::conflict(error.to_string()),
            _ => Error::internal(format!("the plugin folder: {error}")),
        })
    }
}

/// What can be said of a component that lies there, and of which nothing was noted.
fn found(bytes: &[u8]) -> Installed {
    let inspected = inspect(bytes).ok();
    let version = inspected.as_ref().map(|found| found.manifest.plugin.version.clone());
    Installed {
        version: version.unwrap_or_else(|| "unknown".to_owned()),
        sha256: digits(bytes),
        size: bytes.len() as u64,
        source: lock::FOLDER.into(),
        installed_at: None,
        installed_by: None,
        signed_by: inspected.and_then(|found| found.signer).map(|key| key.to_string()),
    }
}

/// The SHA-256 of bytes, in hexadecimal digits.
fn digits(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// At most one byte more than a component may have: enough to see that it has too many.
fn read(path: &Path) -> io::Result<Option<Bytes>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes.into()))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let write = || {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().inspect_err(|_| {
        // On a full disk it would take the room that others need.
        let _ = fs::remove_file(&partial);
    })?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
