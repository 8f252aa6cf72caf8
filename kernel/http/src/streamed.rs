//! The body of a request that is read while it is answered.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use hyper::body::{Body, Frame, SizeHint};

use super::rest::Rest;
use prx_base::clock::Clock;
use prx_base::error::{Code, Error};

/// How long nothing of a body may arrive: 30 seconds.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// A body as it comes, without its trailers: each piece is asked for when the last one is taken. It ends with an error once
/// it is larger than it may be, or nothing of it has come for 30 seconds.
pub struct Streamed {
    incoming: Rest,
    left: u64,
    limit: u64,
    clock: Clock,
    silence: Option<BoxFuture<'static, ()>>,
    failure: Failure,
}

/// Why a [`Streamed`] body ended early, for whoever answers. A cheap-clone handle.
#[derive(Debug, Clone, Default)]
pub struct Failure(Arc<Mutex<Option<(Code, String)>>>);

impl Failure {
    /// The error, if the body has ended with one.
    pub fn error(&self) -> Option<Error> {
        let failure = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failure.as_ref().map(|(code, message)| Error::new(*code, message.clone()))
    }

    fn note(&self, error: Error) -> Error {
        let known = Some((error.code(), error.message().to_owned()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
        error
    }
}

impl Streamed {
    pub(super) fn new(incoming: Rest, limit: u64, clock: Clock) -> Self {
        incoming.set_streamed(true);
        Self { incoming, left: limit, limit, clock, silence: None, failure: Failure::default() }
    }

    /// Tells later why it ended early, if it did.
    pub fn failure(&self) -> Failure {
        self.failure.clone()
    }

    fn taken(&mut self, data: Bytes) -> Result<Frame<Bytes>, Error> {
        match self.left.checked_sub(data.len() as u64) {
            Some(left) => {
                self.left = left;
                Ok(Frame::data(data))
            }
            None => Err(self.failure.note(too_large(self.limit))),
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => {
                this.silence = None;
                match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(this.taken(data))),
                    // Trailers are the last of a body.
                    Err(_) => Poll::Ready(None),
                }
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(this.failure.note(ended_early(error))))),
            Poll::Pending => {
                let clock = &this.clock;
                let silence = this.silence.get_or_insert_with(|| {
                    let clock = clock.clone();
                    async move { clock.sleep(SILENCE_TIMEOUT).await }.boxed()
                });
                match silence.poll_unpin(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => {
                        let seconds = SILENCE_TIMEOUT.as_secs();
                        let message = format!("Nothing of the body arrived for {seconds} seconds");
                        Poll::Ready(Some(Err(this.failure.note(Error::new(Code::RequestTimeout, message)))))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.incoming.set_streamed(false);
    }
}

/// A body has more bytes than it may.
pub(super) fn too_large(limit: u64) -> Error {
    Error::new(Code::PayloadTooLarge, format!("The body is larger than {limit} bytes"))
}

/// A body ends before it is whole.
pub(super) fn ended_early(error: hyper::Error) -> Error {
    Error::bad_request("The body ended early").with_cause(error)
}

impl std::fmt::Debug for Streamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streamed").field("left", &self.left).finish_non_exhaustive()
    }
}
