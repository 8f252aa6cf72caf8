//! What goes back: JSON, nothing, or a stream of events; and the one error envelope.

use std::convert::Infallible;
use std::fmt;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Body;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::sse;
use crate::clock::Clock;
use crate::error::{Code, Error, Result};

pub(super) type Payload = UnsyncBoxBody<Bytes, Infallible>;

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
        Ok(Self::new(status, "application/json", Full::new(body.into()).boxed_unsync()))
    }

    /// What the server of another protocol answered.
    pub fn foreign<B>(response: Response<B>) -> Self
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        Self(response.map(BodyExt::boxed_unsync))
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
    }

    /// 204.
    pub fn no_content() -> Self {
        let mut response = Response::new(Empty::new().boxed_unsync());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Self(response)
    }

    /// 200 with server-sent events. The next one is asked for only when the client has taken the last, and a
    /// comment goes out whenever there has been none for a while.
    pub fn events(events: impl Stream<Item = sse::Event> + Send + 'static, clock: Clock) -> Self {
        let body = sse::body(events, clock).boxed_unsync();
        Self::new(StatusCode::OK, "text/event-stream", body)
    }

    /// The error envelope with the error's status.
    pub(super) fn error(error: &Error) -> Self {
        let body = Envelope::from(error).to_string().into_bytes();
        let status = StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reply = Self::new(status, "application/json", Full::new(body.into()).boxed_unsync());
        match error.code() {
            Code::Unauthorized => reply.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => reply,
        }
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

/// The one form in which errors are told: `{"error": {"code", "message", "details"}}`.
#[derive(Debug, Serialize)]
pub struct Envelope<'a> {
    error: Told<'a>,
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    code: &'static str,
    message: &'a str,
    details: Option<&'a Value>,
}

impl<'a> From<&'a Error> for Envelope<'a> {
    fn from(error: &'a Error) -> Self {
        let (code, message, details) = (error.code().as_str(), error.message(), error.details());
        Self { error: Told { code, message, details } }
    }
}

impl fmt::Display for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
