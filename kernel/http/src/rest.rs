//! The body of a request as it comes in, shared between whoever reads it and whoever has to know what is left of it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// Bytes of a body that nobody has read, and that came with its head, that are thrown away so that the connection can go on.
const MAX_DISCARDED_BYTES: usize = 64 << 10;

/// A body, or what is left of it. A cheap-clone handle; the lock is held to take one frame.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    incoming: Arc<Mutex<Incoming>>,
    /// Someone reads it while it is answered.
    is_streamed: Arc<AtomicBool>,
}

impl From<Incoming> for Rest {
    fn from(incoming: Incoming) -> Self {
        Self { incoming: Arc::new(Mutex::new(incoming)), is_streamed: Arc::default() }
    }
}

impl Rest {
    /// Whether all of it has come in by now. What nobody has read is thrown away, unless the sender waits to be asked for it.
    pub(super) fn is_over(&self, asked_for: bool) -> bool {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_streamed.load(Ordering::Relaxed) {
            return incoming.is_end_stream();
        }
        let mut discarded = 0;
        while !incoming.is_end_stream() {
            if !asked_for || discarded > MAX_DISCARDED_BYTES {
                return false;
            }
            match Pin::new(&mut *incoming).poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(None) => return true,
                Poll::Ready(Some(Ok(frame))) => discarded += frame.data_ref().map_or(0, Bytes::len),
                Poll::Ready(Some(Err(_))) | Poll::Pending => return false,
            }
        }
        true
    }

    /// Says whether someone is going to read it while it is answered: then nothing of it is thrown away.
    pub(super) fn set_streamed(&self, is_streamed: bool) {
        self.is_streamed.store(is_streamed, Ordering::Relaxed);
    }
}

impl Body for Rest {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut *self.incoming.lock().unwrap_or_else(PoisonError::into_inner)).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
