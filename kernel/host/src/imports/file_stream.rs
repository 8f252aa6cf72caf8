//! Writes to a file one after the other, within the quota.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::quota::Within;
use crate::files::{Full, Growth};

/// A stream into a file, in front of which the quota stands.
pub(super) struct CountedStream {
    inner: DynOutputStream,
    file: Arc<File>,
    /// Where the next byte goes. None: to the end.
    at: Option<u64>,
    within: Within,
    /// The write that is under way.
    growth: Option<Growth>,
}

impl CountedStream {
    pub(super) fn new(inner: DynOutputStream, file: Arc<File>, at: Option<u64>, within: Within) -> Self {
        Self { inner, file, at, within, growth: None }
    }

    fn len(&self) -> StreamResult<u64> {
        let metadata =
            self.file.metadata().map_err(|error| StreamError::LastOperationFailed(error.into()))?;
        Ok(metadata.len())
    }

    /// By how much the next `bytes` make the file longer.
    fn growth(&self, bytes: usize) -> StreamResult<u64> {
        let bytes = bytes as u64;
        match self.at {
            Some(at) => Ok(at.saturating_add(bytes).saturating_sub(self.len()?)),
            None => Ok(bytes),
        }
    }

    /// How many of the next bytes only take the place of others.
    fn covered(&self) -> StreamResult<u64> {
        self.at.map_or(Ok(0), |at| Ok(self.len()?.saturating_sub(at)))
    }

    fn full(&self, full: Full) -> StreamError {
        StreamError::LastOperationFailed(self.within.full(full).into())
    }

    /// The write that was under way is over. After one that failed there is no other, and its growth goes with the stream.
    fn landed(&mut self) {
        if let Some(growth) = self.growth.take() {
            growth.landed();
        }
    }

    fn begun(&mut self, bytes: usize, growth: Growth) {
        self.at = self.at.map(|at| at.saturating_add(bytes as u64));
        self.growth = Some(growth);
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for CountedStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let growth = self.within.files.take(self.growth(bytes.len())?).map_err(|full| self.full(full))?;
        let len = bytes.len();
        self.inner.write(bytes)?;
        self.begun(len, growth);
        Ok(())
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.inner.ready().await;
        let more = self.growth(bytes.len())?;
        let growth = self.within.files.reserve(more).await.map_err(|full| self.full(full))?;
        self.begun(bytes.len(), growth);
        self.inner.blocking_write_and_flush(bytes).await?;
        self.landed();
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let permit = self.inner.check_write()?;
        if permit == 0 {
            return Ok(0);
        }
        self.landed();
        let room = usize::try_from(self.within.files.room().saturating_add(self.covered()?));
        match room.unwrap_or(usize::MAX).min(permit) {
            0 if self.within.files.is_stale() => Ok(0),
            // A flush asks, too, and that one succeeds: what doesn't is the next write.
            room => Ok(room.max(1)),
        }
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for CountedStream {
    async fn ready(&mut self) {
        self.inner.ready().await;
        if self.within.files.room() == 0 {
            self.within.files.recount().await;
        }
    }
}
