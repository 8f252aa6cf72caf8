//! `wasi:filesystem` over the plugin's private directory: what wasmtime-wasi does, within the quota. There are files
//! and directories in it and no links, so that each file is counted once and nobody who reads it is led away.

use std::fs::File;
use std::sync::Arc;

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream,
    ErrorCode, Filesize, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp,
    OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::file_stream::CountedStream;
use super::host::Host;
use super::quota::Within;
use crate::files::{Full, Growth};

/// The functions of every plugin. One without a private directory has no handle to call them with.
pub(super) struct Filesystem;

impl HasData for Filesystem {
    type Data<'a> = View<'a>;
}

/// One call's view of it.
pub(super) struct View<'a> {
    wasi: WasiFilesystemCtxView<'a>,
    within: Option<Within>,
}

impl View<'_> {
    pub(super) fn of(host: &mut Host) -> View<'_> {
        let shared = &host.shared;
        let within = Within::of(shared);
        View { wasi: host.filesystem(), within }
    }

    fn within(&self) -> FsResult<&Within> {
        self.within.as_ref().ok_or_else(|| ErrorCode::NotPermitted.into())
    }

    /// Takes what is about to grow off the quota.
    async fn reserve(&mut self, bytes: u64) -> FsResult<Growth> {
        let within = self.within()?.clone();
        within.files.reserve(bytes).await.map_err(|full| refuse(&within, full))
    }

    async fn reserve_entry(&mut self) -> FsResult<Growth> {
        let within = self.within()?.clone();
        within.files.reserve_entry().await.map_err(|full| refuse(&within, full))
    }

    /// There may be less from now on.
    fn shrunk(&self) {
        if let Some(within) = &self.within {
            within.files.shrunk();
        }
    }

    fn file(&self, fd: &Resource<Descriptor>) -> FsResult<Arc<File>> {
        match self.wasi.table.get(fd)? {
            Descriptor::File(file) => Ok(Arc::clone(&file.file)),
            Descriptor::Dir(_) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    /// Puts the quota in front of a stream.
    fn counted(
        &mut self,
        stream: Resource<DynOutputStream>,
        file: Arc<File>,
        at: Option<Filesize>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let inner = self.wasi.table.delete(stream)?;
        let counted: DynOutputStream = Box::new(CountedStream::new(inner, file, at, self.within()?.clone()));
        Ok(self.wasi.table.push(counted)?)
    }
}

fn refuse(within: &Within, full: Full) -> FsError {
    within.full(full);
    ErrorCode::Quota.into()
}

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.wasi.convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        match self.wasi.table.get(&error)?.is::<Full>() {
            true => Ok(Some(ErrorCode::Quota)),
            false => self.wasi.filesystem_error_code(error),
        }
    }
}

/// What wasmtime-wasi does.
macro_rules! as_it_is {
    ($($name:ident($($argument:ident: $ty:ty),*) -> $out:ty;)*) => {
        $(
            async fn $name(&mut self, fd: Resource<Descriptor>, $($argument: $ty),*) -> FsResult<$out> {
                self.wasi.$name(fd, $($argument),*).await
            }
        )*
    };
}

/// The same, after which there may be less.
macro_rules! that_shrinks {
    ($($name:ident($($argument:ident: $ty:ty),*);)*) => {
        $(
            async fn $name(&mut self, fd: Resource<Descriptor>, $($argument: $ty),*) -> FsResult<()> {
                let done = self.wasi.$name(fd, $($argument),*).await;
                self.shrunk();
                done
            }
        )*
    };
}

impl HostDescriptor for View<'_> {
    as_it_is! {
        advise(offset: Filesize, len: Filesize, advice: Advice) -> ();
        sync_data() -> ();
        get_flags() -> DescriptorFlags;
        get_type() -> DescriptorType;
        set_times(accessed: NewTimestamp, modified: NewTimestamp) -> ();
        read(len: Filesize, offset: Filesize) -> (Vec<u8>, bool);
        read_directory() -> Resource<DirectoryEntryStream>;
        sync() -> ();
        stat() -> DescriptorStat;
        stat_at(flags: PathFlags, path: String) -> DescriptorStat;
        set_times_at(flags: PathFlags, path: String, accessed: NewTimestamp, modified: NewTimestamp) -> ();
        readlink_at(path: String) -> String;
        metadata_hash() -> MetadataHashValue;
        metadata_hash_at(flags: PathFlags, path: String) -> MetadataHashValue;
    }

    that_shrinks! {
        remove_directory_at(path: String);
        unlink_file_at(path: String);
        rename_at(old_path: String, new: Resource<Descriptor>, new_path: String);
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        let file = self.file(&fd)?;
        let more = size.saturating_sub(file.metadata()?.len());
        // It may become smaller, too.
        let _growth = self.reserve(more).await?;
        self.wasi.set_size(fd, size).await
    }

    async fn write(
        &mut self,
        fd: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: Filesize,
    ) -> FsResult<Filesize> {
        let end = offset.saturating_add(bytes.len() as u64);
        let more = end.saturating_sub(self.file(&fd)?.metadata()?.len());
        let growth = self.reserve(more).await?;
        let written = self.wasi.write(fd, bytes, offset).await?;
        growth.landed();
        Ok(written)
    }

    async fn create_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        let growth = self.reserve_entry().await?;
        self.wasi.create_directory_at(fd, path).await?;
        growth.landed();
        Ok(())
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        // Perhaps it is there already.
        let _growth = match open_flags.contains(OpenFlags::CREATE) {
            true => Some(self.reserve_entry().await?),
            false => None,
        };
        let opened = self.wasi.open_at(fd, path_flags, path, open_flags, flags).await?;
        if open_flags.contains(OpenFlags::TRUNCATE) {
            self.shrunk();
        }
        if let (Descriptor::File(file), Some(within)) = (self.wasi.table.get(&opened)?, &self.within) {
            within.files.opened(&file.file);
        }
        Ok(opened)
    }

    async fn link_at(
        &mut self,
        _: Resource<Descriptor>,
        _: PathFlags,
        _: String,
        _: Resource<Descriptor>,
        _: String,
    ) -> FsResult<()> {
        Err(ErrorCode::Unsupported.into())
    }

    async fn symlink_at(&mut self, _: Resource<Descriptor>, _: String, _: String) -> FsResult<()> {
        Err(ErrorCode::Unsupported.into())
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        let done = HostDescriptor::drop(&mut self.wasi, fd);
        // It may have been removed while it was open.
        self.shrunk();
        done
    }

    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        self.wasi.read_via_stream(fd, offset)
    }

    fn write_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let file = self.file(&fd)?;
        let stream = self.wasi.write_via_stream(fd, offset)?;
        self.counted(stream, file, Some(offset))
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        let file = self.file(&fd)?;
        let stream = self.wasi.append_via_stream(fd)?;
        self.counted(stream, file, None)
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.wasi.is_same_object(one, other).await
    }
}

impl HostDirectoryEntryStream for View<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.wasi.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}
