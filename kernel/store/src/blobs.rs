//! Images and files that came with messages, or that tools have made: the bytes of each in a file of its own, and a row for it.

use std::collections::HashSet;
use std::fs::DirBuilder;
use std::io::{self, ErrorKind, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use jiff::Timestamp;
use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::handle::Store;
use super::kept::Kept;
use super::rows::{Cause, Failure, Result, Rows};
use super::tx::{META, Tx};
use prx_base::config;
use prx_base::error::{Code, Error};

/// By id, and so by age.
pub(super) const BLOBS: Rows<&str, Blob> = Rows::new("blobs");
/// What all blobs take together, in [`META`].
pub(super) const TAKEN: &str = "blob_bytes";
/// What even a small one takes of a disk.
const LEAST_BYTES: u64 = 4096;
/// Bytes of a blob that are read at a time.
const PIECE: usize = 64 << 10;
/// Blobs that one commit of a sweep lets go.
const SWEEP_BATCH: usize = 256;
/// How the name of a file ends that is still being written.
pub(super) const PARTIAL: &str = ".partial";

/// A blob without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// `blob_<ulid>`
    pub id: String,
    /// In bytes.
    pub size: u64,
    /// What its source said that it is.
    pub mime: Option<String>,
    /// The channel that may send it: the one that it came in by, or that it was made for.
    pub channel: String,
    /// Since when.
    pub created_at: Timestamp,
}

/// Files that one call of a tool makes, at most.
pub const FILES_OF_A_CALL: usize = 16;

/// How much blobs may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobLimits {
    /// One of them, in bytes.
    pub each: u64,
    /// All together; each counts as 4 KiB at least. Where a new one needs room, the oldest go.
    pub total: u64,
}

impl From<&config::Store> for BlobLimits {
    fn from(config: &config::Store) -> Self {
        Self { each: config.blob_max_bytes, total: config.blobs_max_bytes }
    }
}

/// A blob that is being written. Dropped before it is kept, it leaves nothing behind.
pub struct NewBlob {
    store: Store,
    id: String,
    partial: Partial,
    file: File,
    size: u64,
    limits: BlobLimits,
}

/// A file that goes away with this.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // It is gone already where the blob was kept, and the next start looks for what stayed behind.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Store {
    /// Begins a blob.
    ///
    /// # Errors
    /// The disk takes no file.
    pub async fn new_blob(&self, limits: BlobLimits) -> Result<NewBlob> {
        let id = self.shared.ids.next("blob", self.shared.clock.now());
        let path = self.shared.blobs.join(format!("{id}{PARTIAL}"));
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path).await;
        let file = file.map_err(unwritable)?;
        Ok(NewBlob { store: self.clone(), id, partial: Partial(path), file, size: 0, limits })
    }

    /// What is known of a blob; none once it was let go.
    pub fn blob(&self, id: &str) -> Result<Option<Blob>> {
        self.read(|snapshot| snapshot.get(&BLOBS, id))
    }

    /// A blob's bytes, a piece at a time.
    ///
    /// # Errors
    /// `not_found` when there is no such blob, or not any more.
    pub async fn stream_blob(
        &self,
        id: &str,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
        let file = self.open_blob(id).await?;
        Ok(stream::try_unfold(file, |mut file| async move {
            let mut piece = BytesMut::with_capacity(PIECE);
            let read = file.read_buf(&mut piece).await?;
            Ok((read > 0).then(|| (piece.freeze(), file)))
        }))
    }

    async fn open_blob(&self, id: &str) -> Result<File> {
        let blob = self.blob(id)?.ok_or_else(|| Error::not_found("Blob", id))?;
        let file = File::open(self.shared.blobs.join(&blob.id)).await;
        file.map_err(|error| Error::not_found("Blob", id).with_cause(error))
    }

    /// Up to `length` of a blob's bytes, from `offset` on; fewer at its end only.
    ///
    /// # Errors
    /// `not_found` when there is no such blob, or not any more.
    pub async fn read_blob(&self, id: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let mut file = self.open_blob(id).await?;
        file.seek(SeekFrom::Start(offset)).await.map_err(Error::internal)?;
        let mut bytes = Vec::new();
        file.take(length.into()).read_to_end(&mut bytes).await.map_err(Error::internal)?;
        Ok(bytes)
    }

    /// Lets go of the blobs that are older than `age`, and says how many that were.
    pub async fn sweep_blobs(&self, age: Duration) -> Result<usize> {
        let mut swept = 0;
        loop {
            let gone = self.write(move |tx| drop_older(tx, age)).await?;
            self.delete_files(&gone).await;
            swept += gone.len();
            if gone.len() < SWEEP_BATCH {
                return Ok(swept);
            }
        }
    }

    pub(super) async fn delete_files(&self, ids: &[String]) {
        for id in ids {
            if let Err(error) = tokio::fs::remove_file(self.shared.blobs.join(id)).await {
                tracing::debug!(id, %error, "a blob's file is left for the next start");
            }
        }
    }
}

impl NewBlob {
    /// The id that it is kept under.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// `payload_too_large` when it becomes larger than one may be; the disk takes no more.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let most = self.limits.each.min(self.limits.total);
        self.size += bytes.len() as u64;
        if self.size > most {
            return Err(Error::new(Code::PayloadTooLarge, format!("A file has {most} bytes at most")));
        }
        self.file.write_all(bytes).await.map_err(unwritable)
    }

    /// Keeps what was written, for a channel to send; durable when it returns.
    ///
    /// # Errors
    /// The disk or the store has failed. Nothing is kept then.
    pub async fn keep(mut self, channel: &str, mime: Option<String>) -> Result<Blob> {
        self.file.flush().await.map_err(unwritable)?;
        self.file.sync_all().await.map_err(unwritable)?;
        let folder = &self.store.shared.blobs;
        tokio::fs::rename(&self.partial.0, folder.join(&self.id)).await.map_err(unwritable)?;
        File::open(folder).await.map_err(unwritable)?.sync_all().await.map_err(unwritable)?;
        let Self { store, id, size, limits, .. } = &self;
        let (id, size, total) = (id.clone(), *size, limits.total);
        let channel = channel.to_owned();
        let kept =
            store.write(move |tx| keep(tx, Blob { id, size, mime, channel, created_at: tx.now() }, total));
        let (blob, gone) = kept.await?;
        store.delete_files(&gone).await;
        Ok(blob)
    }
}

/// The folder for the files.
pub(super) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("blobs")
}

/// Makes the folder for the files.
pub(super) fn prepare(data_dir: &Path) -> io::Result<PathBuf> {
    let folder = folder(data_dir);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder)
}

pub(super) const TABLES: &[&dyn Kept] = &[&BLOBS];

/// Removes the files that belong to no blob: an earlier process ended between the two.
pub(super) fn recover(transaction: &WriteTransaction, folder: &Path) -> Result<(), Cause> {
    let mut known = HashSet::new();
    BLOBS.each(transaction, |blob: Blob| {
        known.insert(blob.id);
    })?;
    for entry in std::fs::read_dir(folder)?.filter_map(io::Result::ok) {
        if !entry.file_name().to_str().is_some_and(|name| known.contains(name)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Has the files of a snapshot's blobs in another folder, too; tells of those that have been let go since.
pub(super) fn link(snapshot: &ReadTransaction, folder: &Path, other: &Path) -> Result<Vec<Blob>, Cause> {
    let mut gone = Vec::new();
    for row in snapshot.open_table(BLOBS.table())?.iter()? {
        let blob: Blob = serde_json::from_slice(row?.1.value())?;
        let (file, link) = (folder.join(&blob.id), other.join(&blob.id));
        // Not every file system has links.
        let linked = std::fs::hard_link(&file, &link).or_else(|_| std::fs::copy(&file, &link).map(drop));
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => gone.push(blob),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(gone)
}

/// Lets go of blobs in a copy of the store.
pub(super) fn leave_out(copy: &WriteTransaction, gone: &[Blob]) -> Result<(), Cause> {
    let (mut rows, mut meta) = (copy.open_table(BLOBS.table())?, copy.open_table(META)?);
    let mut left = meta.get(TAKEN)?.map_or(0, |taken| taken.value());
    for blob in gone {
        rows.remove(blob.id.as_str())?;
        left = left.saturating_sub(cost(blob));
    }
    meta.insert(TAKEN, left)?;
    Ok(())
}

/// Adds a blob's row, and removes the oldest ones as far as it needs their room. Says which.
fn keep(tx: &Tx<'_>, blob: Blob, total: u64) -> Result<(Blob, Vec<String>), Failure> {
    let mut taken = taken(tx)? + cost(&blob);
    let mut gone = Vec::new();
    while taken > total {
        let Some(oldest) = tx.page(&BLOBS, .., 1)?.pop() else { break };
        taken = taken.saturating_sub(cost(&oldest));
        tx.remove(&BLOBS, oldest.id.as_str())?;
        gone.push(oldest.id);
    }
    tx.put(&BLOBS, blob.id.as_str(), &blob)?;
    tx.change(META)?.insert(TAKEN, taken)?;
    Ok((blob, gone))
}

fn drop_older(tx: &Tx<'_>, age: Duration) -> Result<Vec<String>, Failure> {
    let oldest: Vec<Blob> = tx.page(&BLOBS, .., SWEEP_BATCH)?;
    let old = oldest.into_iter().take_while(|blob| blob.created_at + age < tx.now());
    let (mut left, mut gone) = (taken(tx)?, Vec::new());
    for blob in old {
        tx.remove(&BLOBS, blob.id.as_str())?;
        left = left.saturating_sub(cost(&blob));
        gone.push(blob.id);
    }
    if !gone.is_empty() {
        tx.change(META)?.insert(TAKEN, left)?;
    }
    Ok(gone)
}

/// Lets go of these blobs; tells those that there were, whose files are to be deleted.
pub(super) fn remove(tx: &Tx<'_>, ids: &[String]) -> Result<Vec<String>, Failure> {
    let (mut left, mut gone) = (None, Vec::new());
    for id in ids {
        let Some(blob) = tx.get(&BLOBS, id.as_str())? else { continue };
        let before = left.map_or_else(|| taken(tx), Ok)?;
        left = Some(before.saturating_sub(cost(&blob)));
        tx.remove(&BLOBS, id.as_str())?;
        gone.push(blob.id);
    }
    if let Some(left) = left {
        tx.change(META)?.insert(TAKEN, left)?;
    }
    Ok(gone)
}

fn taken(tx: &Tx<'_>) -> Result<u64, Failure> {
    Ok(tx.open(META)?.get(TAKEN)?.map_or(0, |taken| taken.value()))
}

pub(super) fn cost(blob: &Blob) -> u64 {
    blob.size.max(LEAST_BYTES)
}

fn unwritable(cause: io::Error) -> Error {
    Error::new(Code::Unavailable, "The gateway's disk takes no files; its log says why").with_cause(cause)
}
