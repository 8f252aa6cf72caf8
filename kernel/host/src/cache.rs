//! Compiled components on disk. A file is loaded only while it is byte for byte what this gateway wrote:
//! its digest is in the store, and the directory is the owner's alone.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use wasmtime::Engine;
use wasmtime::component::Component;

use prx_base::text::hex;
use prx_store::Store;

/// Most artifacts that are kept; beyond that the one written longest ago is deleted.
const MAX_ARTIFACTS: usize = 64;

/// Where compiled components are kept.
pub(super) struct Cache {
    directory: PathBuf,
    store: Store,
}

impl Cache {
    pub(super) fn new(directory: PathBuf, store: Store) -> Self {
        Self { directory, store }
    }

    /// The name of this engine's artifact of a component.
    pub(super) fn key(engine: &Engine, component: &[u8]) -> String {
        let mut settings = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut settings);
        format!("{}-{:016x}", hex(&Sha256::digest(component)), settings.finish())
    }

    /// The artifact, if there is one and nobody has touched it.
    pub(super) async fn load(&self, engine: &Engine, key: &str) -> Option<Component> {
        let expected = self.store.artifact(key).ok()??;
        let (engine, path) = (engine.clone(), self.path(key));
        let loaded = spawn_blocking(move || load(&engine, &path, &expected)).await.ok()?;
        loaded
            .inspect_err(|reason| tracing::warn!(key, %reason, "a compiled component is not what was written; compiling anew"))
            .ok()
    }

    /// Keeps the image of a freshly compiled artifact and loads it. One that can't be kept costs only time: it is loaded
    /// all the same, and compiled again next time.
    ///
    /// # Errors
    /// The image is none of this engine's.
    pub(super) async fn put(
        &self,
        engine: &Engine,
        key: &str,
        image: Vec<u8>,
    ) -> wasmtime::Result<Component> {
        let image = Arc::new(image);
        match self.keep(key, Arc::clone(&image)).await {
            // In the file's pages it costs the gateway no memory of its own.
            Ok(()) => match self.load(engine, key).await {
                Some(component) => return Ok(component),
                None => tracing::warn!(key, "a compiled component is not what was just written"),
            },
            Err(reason) => {
                tracing::warn!(
                    key,
                    reason,
                    "a compiled component could not be kept; it is compiled again next time"
                );
            }
        }
        let engine = engine.clone();
        let load = move || {
            // SAFETY: the bytes come from this engine's own compiler and have been nowhere else.
            #[expect(
                unsafe_code,
                reason = "native code can only be loaded on trust; the compiler is the gateway's own"
            )]
            unsafe {
                Component::deserialize(&engine, &*image)
            }
        };
        spawn_blocking(load).await?
    }

    /// Writes an image and records its digest, without which it is not loaded.
    async fn keep(&self, key: &str, image: Arc<Vec<u8>>) -> Result<(), String> {
        let (directory, path) = (self.directory.clone(), self.path(key));
        let write = move || {
            write(&directory, &path, &image)?;
            prune(&directory)?;
            Ok::<[u8; 32], io::Error>(Sha256::digest(&*image).into())
        };
        let written = spawn_blocking(write).await.map_err(|error| error.to_string())?;
        let digest = written.map_err(|error| error.to_string())?;
        self.store.put_artifact(key, digest).await.map_err(|error| error.to_string())?;
        self.forget_missing().await;
        Ok(())
    }

    /// Forgets the digests of artifacts whose files are gone. A failure only costs space.
    async fn forget_missing(&self) {
        let Ok(known) = self.store.artifacts() else { return };
        // A file is written before its digest is kept: of what was known, none is on its way.
        let paths: Vec<_> = known.into_iter().map(|key| (self.path(&key), key)).collect();
        let missing = move || paths.into_iter().filter(|(path, _)| !path.exists()).map(|(_, key)| key);
        let Ok(missing) = spawn_blocking(move || missing().collect::<Vec<_>>()).await else { return };
        if !missing.is_empty()
            && let Err(error) = self.store.forget_artifacts(missing).await
        {
            tracing::warn!(%error, "the digests of compiled components that are gone could not be forgotten");
        }
    }

    /// Deletes the artifacts of the component with this SHA-256. A failure only costs space.
    pub(super) async fn forget(&self, component: [u8; 32]) {
        let directory = self.directory.clone();
        let delete = move || delete(&directory, &hex(&component));
        let deleted = spawn_blocking(delete).await.map_err(io::Error::other).and_then(|deleted| deleted);
        if let Err(error) = deleted {
            tracing::warn!(%error, "what was compiled of a removed plugin could not be deleted");
        }
        self.forget_missing().await;
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(key).with_extension("cwasm")
    }
}

/// Loads an artifact whose content has this digest.
fn load(engine: &Engine, path: &Path, expected: &[u8; 32]) -> wasmtime::Result<Component> {
    let digest: [u8; 32] = Sha256::digest(fs::read(path)?).into();
    wasmtime::ensure!(digest == *expected, "its digest is another");
    // SAFETY: the bytes are those that this engine's own compiler made: their digest is the one that was
    // recorded then, under a key that holds the engine's version and settings. The file is replaced by renaming,
    // never written to, and only the gateway's own user can reach it.
    #[expect(
        unsafe_code,
        reason = "native code can only be loaded on trust; the digest is what the trust rests on"
    )]
    unsafe {
        Component::deserialize_file(engine, path)
    }
}

/// Puts a file in place whole or not at all.
fn write(directory: &Path, path: &Path, image: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    let unfinished = path.with_extension("tmp");
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(image)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().inspect_err(|_| {
        // On a full disk it would take the room that others need.
        let _ = fs::remove_file(&unfinished);
    })
}

fn prune(directory: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Another compilation may rename its file meanwhile.
        if let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) {
            files.push((modified, entry.path()));
        }
    }
    files.sort();
    let surplus = files.len().saturating_sub(MAX_ARTIFACTS);
    for (_, path) in files.iter().take(surplus) {
        match fs::remove_file(path) {
            // Another compilation was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

fn delete(directory: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
