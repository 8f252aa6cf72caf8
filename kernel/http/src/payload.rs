//! The body of a response, and the one error envelope.

use std::convert::Infallible;
use std::fmt;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Body;
use serde::Serialize;
use serde_json::Value;

use prx_base::error::Error;

/// The body of every response.
pub(super) type Payload = UnsyncBoxBody<Bytes, BrokenOff>;

/// The body of a response ends before it is whole: its connection is closed, so that the client notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub struct BrokenOff;

/// A body that never breaks off.
pub(super) fn sound(body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static) -> Payload {
    body.map_err(|never| match never {}).boxed_unsync()
}

/// The one form in which errors are sent: `{"error": {"code", "message", "details"}}`.
#[derive(Debug, Serialize)]
pub struct Envelope<'a> {
    error: ErrorBody<'a>,
}

#[derive(Debug, Serialize)]
struct ErrorBody<'a> {
    code: &'static str,
    message: &'a str,
    details: Option<&'a Value>,
}

impl<'a> From<&'a Error> for Envelope<'a> {
    fn from(error: &'a Error) -> Self {
        let (code, message, details) = (error.code().as_str(), error.message(), error.details());
        Self { error: ErrorBody { code, message, details } }
    }
}

impl fmt::Display for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
