//! `<data-dir>/plugins`: components on disk, and what `rollback` goes back to.
//!
//! Beside `<name>.wasm`, which belongs to the operator, lie two copies that belong to the gateway:
//! `<name>.wasm.serving`, the last one that loaded, and `<name>.wasm.previous`, the one before. So there is a way
//! back also from a file that was overwritten behind the gateway's back, even while it was not running.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::inspect::MAX_BYTES;
use super::manifest::valid_name;
use prx_base::error::{Error, Result};

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

/// A cheap-clone handle to the folder.
#[derive(Debug, Clone)]
pub(super) struct Folder(Arc<Path>);

impl Folder {
    /// The folder in this data directory; made, for its owner only, when there is none.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("plugins");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self(path.into()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
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
        for entry in fs::read_dir(&self.0)? {
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

    /// Puts a component in place, whole or not at all.
    pub(super) async fn write(&self, name: &str, bytes: Bytes) -> Result<()> {
        let name = name.to_owned();
        self.run(move |folder| replace(&folder.component(&name), &bytes)).await
    }

    /// Remembers that this component loaded, and the one that did so before it. Says which of both it is.
    pub(super) async fn loaded(&self, name: &str, bytes: Bytes) -> Result<Loaded> {
        let name = name.to_owned();
        self.run(move |folder| {
            let serving = folder.beside(&name, "serving");
            let loaded = match read(&serving)? {
                Some(old) if old == bytes => return Ok(Loaded::Again),
                Some(_) => {
                    fs::rename(&serving, folder.beside(&name, "previous"))?;
                    Loaded::InPlaceOfAnother
                }
                None => Loaded::First,
            };
            replace(&serving, &bytes)?;
            Ok(loaded)
        })
        .await
    }

    /// What `rollback` goes back to: the component that loaded last when the file is another one by now,
    /// otherwise the one before.
    pub(super) async fn earlier(&self, name: &str) -> Result<Option<Bytes>> {
        let name = name.to_owned();
        self.run(move |folder| {
            let serving = read(&folder.beside(&name, "serving"))?;
            if serving.is_some() && serving != read(&folder.component(&name))? {
                return Ok(serving);
            }
            read(&folder.beside(&name, "previous"))
        })
        .await
    }

    /// Takes a plugin's component away; what there is to go back to stays.
    pub(super) async fn unlink(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.run(move |folder| {
            fs::remove_file(folder.component(&name))?;
            File::open(&folder.0)?.sync_all()
        })
        .await
    }

    /// Takes a plugin's component away, with what there was to go back to.
    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.run(move |folder| {
            let files =
                [folder.component(&name), folder.beside(&name, "serving"), folder.beside(&name, "previous")];
            for file in files {
                match fs::remove_file(&file) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            File::open(&folder.0)?.sync_all()
        })
        .await
    }

    pub(super) fn component(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.wasm"))
    }

    fn beside(&self, name: &str, what: &str) -> PathBuf {
        self.0.join(format!("{name}.wasm.{what}"))
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> io::Result<R> + Send + 'static,
    ) -> Result<R> {
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || work(folder)).await.map_err(Error::internal)?;
        done.map_err(|error| Error::internal(format!("the plugin folder: {error}")))
    }
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
