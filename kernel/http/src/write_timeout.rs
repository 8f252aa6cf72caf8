//! The write timeout: a connection whose peer stops reading is closed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use prx_base::clock::Clock;

/// How long one write may make no progress: 30 seconds.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream on which a write that makes no progress fails with `TimedOut`.
pub(super) struct WriteTimeout<T> {
    inner: T,
    clock: Clock,
    timeout: Option<BoxFuture<'static, ()>>,
}

impl<T: AsyncWrite + Unpin> WriteTimeout<T> {
    pub(super) fn new(inner: T, clock: Clock) -> Self {
        Self { inner, clock, timeout: None }
    }

    fn bounded<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.timeout = None;
            return written;
        }
        let clock = &self.clock;
        let timeout = self.timeout.get_or_insert_with(|| {
            let clock = clock.clone();
            async move { clock.sleep(WRITE_TIMEOUT).await }.boxed()
        });
        match timeout.poll_unpin(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteTimeout<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.bounded(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.bounded(cx, closed)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_stops_reading_is_given_up_on() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let (near, mut far) = duplex(16);
        let mut near = WriteTimeout::new(near, clock.clone());
        near.write_all(&[0; 16]).await.unwrap();
        for _ in 0..3 {
            let mut write = Box::pin(near.write_all(&[0; 8]));
            assert!((&mut write).now_or_never().is_none());
            clock.advance(WRITE_TIMEOUT - Duration::from_secs(1));
            assert!((&mut write).now_or_never().is_none());
            far.read_exact(&mut [0; 8]).await.unwrap();
            write.await.expect("who reads slowly is waited for");
        }
        let mut write = Box::pin(near.write_all(&[0; 8]));
        assert!((&mut write).now_or_never().is_none());
        clock.advance(WRITE_TIMEOUT);
        assert_eq!(write.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
