//! An answer: its head, and a body that arrives no faster than it is read.

use std::fmt;
use std::mem::take;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderMap};
use hyper::http;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::decode::{Decoder, STEP_BYTES};
use super::failure::{Failure, Kind};
use super::origin::Origin;
use super::pool::Lease;
use super::scrub::{Patterns, Scrubber};

/// The answer to a request. Secrets that it echoed read `***REDACTED***`.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, still on its way.
    pub body: ResponseBody,
    /// From the call to the answer's head.
    pub elapsed: Duration,
}

/// A body that arrives as it is read, within the request's bounds. Ends after the first error. Trailers are
/// left out.
pub struct ResponseBody(Option<Live>);

/// What a body may take, and what it holds on to until it ends.
pub(super) struct Bounds {
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    pub(super) idle: Duration,
    pub(super) max_body: u64,
    /// It was not asked for an encoding.
    pub(super) plain: bool,
    pub(super) secrets: Option<Arc<Patterns>>,
    pub(super) slot: OwnedSemaphorePermit,
}

struct Live {
    incoming: Incoming,
    /// Decodes what came of it.
    decoder: Option<Decoder>,
    encoded: Bytes,
    scrubber: Option<Scrubber>,
    /// Bytes that may still come, as they come and as they are decoded.
    left: u64,
    deadline: Pin<Box<Sleep>>,
    idle: Idle,
    lease: Lease,
    _slot: OwnedSemaphorePermit,
}

/// The idle timeout, which runs only while somebody waits for the next piece.
struct Idle {
    timeout: Duration,
    running: Option<Pin<Box<Sleep>>>,
}

impl Response {
    /// Takes over an answer whose head has arrived on `lease`.
    pub(super) fn new(
        answer: http::Response<Incoming>,
        lease: Lease,
        bounds: Bounds,
    ) -> Result<Self, Failure> {
        let elapsed = bounds.started.elapsed();
        let (mut head, incoming) = answer.into_parts();
        let origin = &lease.key.origin;
        if incoming.size_hint().lower() > bounds.max_body {
            return Err(too_large(origin));
        }
        let decoder = if bounds.plain { Decoder::of(&mut head.headers) } else { None };
        if let Some(secrets) = &bounds.secrets {
            if is_encoded(&head.headers) && !head.status.is_success() {
                // Of what can't be searched for secrets nothing is passed on; the status is what matters.
                head.headers.remove(header::CONTENT_ENCODING);
                head.headers.remove(header::CONTENT_LENGTH);
                secrets.scrub_headers(&mut head.headers);
                return Ok(Self {
                    status: head.status,
                    headers: head.headers,
                    body: ResponseBody(None),
                    elapsed,
                });
            }
            if is_encoded(&head.headers) {
                let reason = "it encodes its answer unasked, so that secrets in it could not be found";
                return Err(Failure::sent(Kind::Protocol, origin, reason));
            }
            secrets.scrub_headers(&mut head.headers);
            if !incoming.is_end_stream() {
                // Scrubbing may change the length.
                head.headers.remove(header::CONTENT_LENGTH);
            }
        }
        let body = ResponseBody::new(incoming, decoder, lease, bounds);
        Ok(Self { status: head.status, headers: head.headers, body, elapsed })
    }

    /// The whole body.
    ///
    /// # Errors
    /// The body broke off, or went beyond a bound of its request.
    pub async fn collect(self) -> Result<Bytes, Failure> {
        Ok(self.body.collect().await?.to_bytes())
    }

    /// The answer in the shape that `wasi:http` takes.
    pub fn into_http(self) -> http::Response<ResponseBody> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl ResponseBody {
    fn new(incoming: Incoming, decoder: Option<Decoder>, lease: Lease, bounds: Bounds) -> Self {
        if incoming.is_end_stream() {
            lease.release();
            return Self(None);
        }
        Self(Some(Live {
            incoming,
            decoder,
            encoded: Bytes::new(),
            scrubber: bounds.secrets.map(Scrubber::new),
            left: bounds.max_body,
            deadline: Box::pin(sleep_until(bounds.deadline)),
            idle: Idle { timeout: bounds.idle, running: None },
            lease,
            _slot: bounds.slot,
        }))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        loop {
            let Some(live) = &mut self.0 else { return Poll::Ready(None) };
            let piece = match ready!(live.poll_decoded(cx)) {
                Some(Ok(chunk)) => live.scrubbed(chunk),
                Some(Err(failure)) => {
                    self.0 = None;
                    return Poll::Ready(Some(Err(failure)));
                }
                None => self.0.take().map(Live::finish).unwrap_or_default(),
            };
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(live) if live.scrubber.is_none() && live.decoder.is_none() => live.incoming.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

impl Live {
    /// The next piece, decoded in small steps: a few bytes may stand for many.
    fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if self.decoder.is_none() {
            return self.poll_chunk(cx);
        }
        let chunk = if self.encoded.is_empty() {
            ready!(self.poll_chunk(cx))
        } else {
            Some(Ok(take(&mut self.encoded)))
        };
        let Some(chunk) = chunk.transpose()? else {
            let rest = self.decoder.take().map(Decoder::finish).transpose();
            let cut = |_| {
                Failure::sent(
                    Kind::Closed,
                    &self.lease.key.origin,
                    "the answer ended in the middle of its encoding",
                )
            };
            return Poll::Ready(
                rest.map_err(cut)
                    .map(|rest| rest.filter(|rest| !rest.is_empty()).map(Bytes::from))
                    .transpose(),
            );
        };
        self.encoded = chunk;
        let step = self.encoded.split_to(STEP_BYTES.min(self.encoded.len()));
        let decoded = self.decoder.as_mut().map(|decoder| decoder.push(&step)).transpose();
        let origin = &self.lease.key.origin;
        let decoded = match decoded {
            Ok(decoded) => decoded.unwrap_or_default(),
            Err(error) => {
                let reason = format!("its answer is not encoded as it says ({error})");
                return Poll::Ready(Some(Err(Failure::sent(Kind::Protocol, origin, reason))));
            }
        };
        Poll::Ready(Some(match self.left.checked_sub(decoded.len() as u64) {
            Some(left) => {
                self.left = left;
                Ok(decoded.into())
            }
            None => Err(too_large(origin)),
        }))
    }

    /// The next piece as it came. The deadline counts even when data is always there.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let origin = &self.lease.key.origin;
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Failure::sent(Kind::Timeout, origin, "the answer took too long"))));
        }
        loop {
            let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Pending => {
                    ready!(self.idle.poll(cx));
                    let reason = "the answer stopped in the middle";
                    return Poll::Ready(Some(Err(Failure::sent(Kind::Timeout, origin, reason))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(Failure::broken(origin, &error))));
                }
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            self.idle.running = None;
            let Ok(chunk) = frame.into_data() else { continue };
            return Poll::Ready(Some(match self.left.checked_sub(chunk.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Ok(chunk)
                }
                None => Err(too_large(origin)),
            }));
        }
    }

    fn scrubbed(&mut self, chunk: Bytes) -> Bytes {
        match &mut self.scrubber {
            Some(scrubber) => scrubber.push(&chunk).into(),
            None => chunk,
        }
    }

    /// Gives the connection back, and what the scrubber still held.
    fn finish(self) -> Bytes {
        self.lease.release();
        self.scrubber.map(|mut scrubber| scrubber.finish().into()).unwrap_or_default()
    }
}

impl Idle {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.timeout;
        self.running.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx)
    }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let beyond = |name, plain: &str| {
        headers.get_all(name).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(plain.as_bytes()))
    };
    beyond(header::CONTENT_ENCODING, "identity") || beyond(header::TRANSFER_ENCODING, "chunked")
}

fn too_large(origin: &Origin) -> Failure {
    Failure::sent(Kind::TooLarge, origin, "the answer is larger than it may be")
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("ended", &self.0.is_none()).finish()
    }
}
