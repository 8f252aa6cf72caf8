//! A reply: JSON, nothing, a file, or a stream of events.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Collected, Empty, Full, StreamBody};
use hyper::body::{Body, Frame};
use hyper::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::payload::{BrokenOff, Envelope, Payload, sound};
use super::sse;
use prx_base::clock::Clock;
use prx_base::error::{Code, Error, Result};

/// What nginx is told by.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const JSON: &str = "application/json";
/// The media type of a file of which no more is known.
pub const OCTETS: &str = "application/octet-stream";
const EVENT_STREAM: &str = "text/event-stream";

/// The largest reply that is kept for a request with an idempotency key, in bytes.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// Marks an answer that must not be kept.
#[derive(Debug, Clone)]
struct HoldsSecret;

/// Marks an answer that is not the gateway's own.
#[derive(Debug, Clone, Copy)]
struct Routed;

/// Marks an answer to a request that has changed nothing.
#[derive(Debug, Clone, Copy)]
struct ChangesNothing;

/// What the audit log is told of what was done.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) target: String,
    pub(super) details: Value,
}

/// What may be kept of an answer to give it again.
pub(super) enum Keepable {
    /// Nothing.
    No(Reply),
    /// That there was one.
    WithoutBody(Reply),
    /// All of it.
    Whole(Reply, String),
}

/// An answer on its way out.
#[derive(Debug)]
pub struct Reply(pub(super) Response<Payload>);

impl Reply {
    /// 200 with a JSON body.
    ///
    /// # Errors
    /// 500 when the value has no JSON form.
    pub fn ok(value: &impl Serialize) -> Result<Self> {
        Self::json(StatusCode::OK, value)
    }

    /// 201 with a JSON body.
    ///
    /// # Errors
    /// As for [`Reply::ok`].
    pub fn created(value: &impl Serialize) -> Result<Self> {
        Self::json(StatusCode::CREATED, value)
    }

    /// Any status with a JSON body.
    ///
    /// # Errors
    /// As for [`Reply::ok`].
    pub fn json(status: StatusCode, value: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(value).map_err(Error::internal)?;
        Ok(Self::new(status, JSON, sound(Full::new(body.into()))))
    }

    /// What the server of another protocol answered.
    pub fn foreign<B>(response: Response<B>) -> Self
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let reply = Self(response.map(sound))
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if reply.is_stream() { reply.streamed() } else { reply }
    }

    /// What a route that is not the gateway's own answered, as it comes. Whether it may be kept elsewhere is for the route to
    /// say. Like a stream of events it ends, whatever it is, once its caller may call no longer.
    pub fn routed<B>(response: Response<B>) -> Self
    where
        B: Body<Data = Bytes, Error = BrokenOff> + Send + 'static,
    {
        let (says_how_long, mut response) =
            (response.headers().contains_key(CACHE_CONTROL), response.map(BodyExt::boxed_unsync));
        response.extensions_mut().insert(Routed);
        let reply = Self(response).with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        match reply.is_stream() {
            true => reply.streamed(),
            false if says_how_long => reply,
            false => reply.with(CACHE_CONTROL, HeaderValue::from_static("no-store")),
        }
    }

    /// 204.
    pub fn no_content() -> Self {
        let mut response = Response::new(sound(Empty::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        Self(response)
    }

    /// 200 with server-sent events. The next one is asked for only when the client has taken the last, and a
    /// comment goes out whenever there has been none for a while.
    pub fn events(events: impl Stream<Item = sse::Event> + Send + 'static, clock: Clock) -> Self {
        let body = sound(sse::body(events, clock));
        Self::new(StatusCode::OK, EVENT_STREAM, body).streamed()
    }

    fn is_stream(&self) -> bool {
        let kind = self.0.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        kind.and_then(|kind| kind.split(';').next()).is_some_and(|kind| kind.trim() == EVENT_STREAM)
    }

    /// Says to proxies that every piece is to go on at once, and to nobody else but the client.
    fn streamed(self) -> Self {
        self.with(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
            .with(X_ACCEL_BUFFERING, HeaderValue::from_static("no"))
    }

    /// Ends a stream of events, and what is not the gateway's own, once there is a reason to. Any other answer is as long as
    /// it is.
    pub(super) fn until(self, end: impl Future<Output = Error> + Send + 'static) -> Self {
        if self.is_stream() {
            return Self(self.0.map(|body| sse::until(body, end)));
        }
        match self.0.extensions().get::<Routed>() {
            Some(Routed) => Self(self.0.map(|body| break_off(body, end))),
            None => self,
        }
    }

    /// The error envelope with the error's status.
    pub(super) fn error(error: &Error) -> Self {
        let body = Envelope::from(error).to_string().into_bytes();
        let status = StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reply = Self::new(status, JSON, sound(Full::new(body.into())));
        match error.code() {
            Code::Unauthorized => reply.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => reply,
        }
    }

    /// Says that the answer holds a secret that is shown once and kept nowhere.
    #[must_use]
    pub fn holding_secret(mut self) -> Self {
        self.0.extensions_mut().insert(HoldsSecret);
        self
    }

    /// Says what the audit log is to hold of it: an id or a name, and what else there is to say, without secrets.
    #[must_use]
    pub fn noting(mut self, target: impl Into<String>, details: Value) -> Self {
        self.0.extensions_mut().insert(Note { target: target.into(), details });
        self
    }

    /// It was only looked: there is nothing to write into the audit log.
    #[must_use]
    pub fn changing_nothing(mut self) -> Self {
        self.0.extensions_mut().insert(ChangesNothing);
        self
    }

    pub(super) fn changes_nothing(&self) -> bool {
        self.0.extensions().get::<ChangesNothing>().is_some()
    }

    pub(super) fn note(&self) -> Option<&Note> {
        self.0.extensions().get()
    }

    /// What may be kept of it: success told in JSON or in no words at all, that isn't large or secret.
    pub(super) async fn keepable(self) -> Keepable {
        let kind = self.0.headers().get(CONTENT_TYPE);
        let finite = kind.is_none_or(|kind| kind == JSON);
        if !self.0.status().is_success() {
            return Keepable::No(self);
        }
        if !finite || self.0.extensions().get::<HoldsSecret>().is_some() {
            return Keepable::WithoutBody(self);
        }
        let (head, body) = self.0.into_parts();
        let Ok(body) = body.collect().await.map(Collected::to_bytes) else {
            return Keepable::No(Self::error(&Error::internal("an answer in JSON broke off")));
        };
        let text = String::from_utf8(body.to_vec());
        let reply = Self(Response::from_parts(head, sound(Full::new(body))));
        match text {
            Ok(text) if text.len() <= MAX_KEPT_BYTES => Keepable::Whole(reply, text),
            _ => Keepable::WithoutBody(reply),
        }
    }

    /// An answer that was kept.
    pub(super) fn kept(status: u16, json: String) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        match json.is_empty() {
            true => Self::no_content(),
            false => Self::new(status, JSON, sound(Full::new(json.into()))),
        }
    }

    /// 200 with text of a media type.
    pub fn text(media_type: &'static str, text: String) -> Self {
        Self::new(StatusCode::OK, media_type, sound(Full::new(text.into())))
    }

    /// 200 with a file to be saved, whatever it is: no browser is to show it. Where the pieces end before its length, so
    /// does the connection.
    pub fn file(mime: Option<&str>, length: u64, pieces: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        let body = StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece))));
        let kind = mime.and_then(|mime| HeaderValue::from_str(mime).ok());
        Self::new(StatusCode::OK, OCTETS, sound(body))
            .with(CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static(OCTETS)))
            .with(CONTENT_LENGTH, length.into())
            .with(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"))
    }

    /// 200 with a file to be saved whose length shows at its end only. With [`BrokenOff`] in place of a piece the connection
    /// ends, so that nobody takes it for whole.
    pub fn download(
        mime: &'static str,
        pieces: impl Stream<Item = std::result::Result<Bytes, BrokenOff>> + Send + 'static,
    ) -> Self {
        let body = StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync();
        Self::new(StatusCode::OK, mime, body)
            .with(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"))
    }

    /// Adds a header, in place of one of the same name.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }

    fn new(status: StatusCode, content_type: &'static str, body: Payload) -> Self {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        Self(response)
            .with(CONTENT_TYPE, HeaderValue::from_static(content_type))
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
    }
}

/// A body that breaks off once there is a reason to.
fn break_off(body: Payload, end: impl Future<Output = Error> + Send + 'static) -> Payload {
    if body.is_end_stream() {
        return body;
    }
    let frames = stream::unfold(Some((body, Box::pin(end))), |open| async {
        let (mut body, mut end) = open?;
        tokio::select! {
            biased;
            _ = &mut end => Some((Err(BrokenOff), None)),
            frame = body.frame() => Some((frame?, Some((body, end)))),
        }
    });
    StreamBody::new(frames).boxed_unsync()
}
