//! The `route` capability: what a plugin serves over HTTP, at `/ext/<its name>/`; feature `route`. Prefixes of paths besides,
//! who may call, and whether a token is needed at all are asked for in the manifest:
//!
//! ```toml
//! [routes]
//! paths = ["/v1"]           # granted by the operator
//! scope = "sessions:write"  # what a caller's token has to be good for; tools:write if not said
//! public = true             # may be called without a token, too; granted by the operator
//! ```
//!
//! ```
//! use prx_sdk::route::{Fault, Request, Response, Route};
//! use prx_sdk::testing;
//!
//! struct Greeter;
//!
//! impl Route for Greeter {
//!     fn handle(request: Request) -> Result<Response, Fault> {
//!         match (request.method.as_str(), &request.segments()[..]) {
//!             ("GET", [name]) => Ok(Response::text(format!("Hello, {name}!"))),
//!             _ => Ok(Response::status(404)),
//!         }
//!     }
//! }
//!
//! let answer = testing::route::<Greeter>(Request::new("GET", "/S%C3%A3o%20Paulo"));
//! assert_eq!((answer.status, answer.text()), (200, "Hello, São Paulo!".to_owned()));
//! ```
//!
//! The gateway has looked at the caller's token before, keeps it to itself, and says who calls: [`Request::caller`]. A request
//! has an instance of its own; its body is read as it comes, and an answer may be written as it comes
//! ([`Response::stream`]). When the client hangs up, the instance ends, and what it has begun.

#[cfg(target_family = "wasm")]
mod wasi;

use std::io::{self, Read, Write};

use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::types::{Fault, FaultCode};
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use wasi::serve;

/// Most bytes of a body that is read whole.
const MAX_BODY_BYTES: u64 = 32 << 20;

/// What a plugin serves.
pub trait Route {
    /// Answers a request, of any method and at any path of its own.
    ///
    /// # Errors
    /// What the client reads as an error, in the gateway's form: `bad-input` has the status 400, `denied` 403, `too-large`
    /// 413, `quota` 429, `unavailable` 503, `timeout` 504, and the rest 500.
    fn handle(request: Request) -> Result<Response, Fault>;
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// The method, in capitals.
    pub method: String,
    /// The path as it was sent, beginning with a slash; without what led to the plugin, see [`Request::prefix`].
    pub path: String,
    /// What follows the `?`, as it was sent; empty for nothing.
    pub query: String,
    /// Names and values, in order. Credentials for the gateway are not among them.
    pub headers: Vec<(String, String)>,
    /// The body, read as it comes.
    pub body: Body,
}

impl Request {
    /// A request without headers and body, for tests.
    pub fn new(method: &str, path: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Body::new(Vec::new()),
        }
    }

    /// Adds a header, for tests.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body, for tests.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Body::new(body.into()), ..self }
    }

    /// Says who calls, with which scopes, for tests.
    #[must_use]
    pub fn from(self, caller: &str, scopes: &[&str]) -> Self {
        self.with("x-prx-caller", caller).with("x-prx-scopes", &scopes.join(" "))
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The segments of the path that are not empty, decoded.
    pub fn segments(&self) -> Vec<String> {
        let segments = self.path.split('/').filter(|segment| !segment.is_empty());
        segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned()).collect()
    }

    /// The first parameter of this name after the `?`, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let decoded =
            |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let mut pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| decoded(key) == name).map(|(_, value)| decoded(value))
    }

    /// Who calls: the id of the token, or `owner` for who owns the gateway; none for someone without a token, whom only a
    /// public route hears. Whoever is named has the scope that the manifest asks for.
    pub fn caller(&self) -> Option<&str> {
        self.header("x-prx-caller")
    }

    /// Whether the caller's token is good for this scope as well, such as `sessions:read`.
    pub fn may(&self, scope: &str) -> bool {
        let held = self.header("x-prx-scopes").unwrap_or_default();
        held.split(' ').any(|held| held == scope || held == "admin")
    }

    /// What stood before the path: `/ext/<the plugin's name>`; nothing under a prefix that the plugin was granted.
    pub fn prefix(&self) -> &str {
        self.header("x-forwarded-prefix").unwrap_or_default()
    }
}

/// The body of a request: read as it comes, or whole. The gateway bounds it (`gateway.max_body_bytes`).
pub struct Body(Box<dyn Read>);

impl Body {
    /// A body of these bytes, for tests.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Box::new(io::Cursor::new(bytes)))
    }

    /// The whole body, of 32 MiB at most.
    ///
    /// # Errors
    /// It is too large, or it broke off.
    pub fn whole(&mut self) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        (&mut self.0).take(MAX_BODY_BYTES + 1).read_to_end(&mut bytes).map_err(unread)?;
        match bytes.len() as u64 <= MAX_BODY_BYTES {
            true => Ok(bytes),
            false => Err(Fault::new(FaultCode::TooLarge, "the body is larger than 32 MiB")),
        }
    }

    /// The whole body as JSON.
    ///
    /// # Errors
    /// As [`Body::whole`]; `bad-input` when it is no JSON of this shape.
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T, Fault> {
        serde_json::from_slice(&self.whole()?)
            .map_err(|error| Fault::bad_input(format!("the body does not fit: {error}")))
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body")
    }
}

/// What became of a body that can't be read to its end.
fn unread(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::FileTooLarge => Fault::new(FaultCode::TooLarge, "the body is too large"),
        io::ErrorKind::TimedOut => Fault::new(FaultCode::Timeout, "the body did not come in time"),
        _ => Fault::bad_input(format!("the body broke off: {error}")),
    }
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    content: Content,
}

/// Writes the body of an answer.
type Stream = Box<dyn FnOnce(&mut dyn Write) -> Result<(), Fault>>;

/// The body of an answer.
pub(crate) enum Content {
    Whole(Vec<u8>),
    Stream(Stream),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_) => f.write_str("a stream"),
        }
    }
}

impl Response {
    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), content: Content::Whole(Vec::new()) }
    }

    /// 200 with these bytes of a media type.
    pub fn new(media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let response = Self::status(200).with("content-type", media_type);
        Self { content: Content::Whole(body.into()), ..response }
    }

    /// 200 with text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new("text/plain; charset=utf-8", text.into())
    }

    /// 200 with JSON.
    pub fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => Self::new("application/json", json),
            Err(error) => error_response(&Fault::new(FaultCode::Internal, error.to_string())),
        }
    }

    /// 302 to another address.
    pub fn redirect(to: &str) -> Self {
        Self::status(302).with("location", to)
    }

    /// 200 with a body that is written as it comes: what `write` writes at once goes to the client at once, and `write` waits
    /// while the client does not take it. With an error the answer breaks off, so that the client sees that it is not whole.
    pub fn stream(
        media_type: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Fault> + 'static,
    ) -> Self {
        let response = Self::status(200).with("content-type", media_type);
        Self { content: Content::Stream(Box::new(write)), ..response }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Adds a header. Cookies, and headers that concern the gateway as a whole, are not passed on.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Its status, its headers and its body.
    pub(crate) fn into_parts(self) -> (u16, Vec<(String, String)>, Content) {
        (self.status, self.headers, self.content)
    }
}

/// The status that a client is told of a fault by.
pub fn status_of(code: FaultCode) -> u16 {
    match code {
        FaultCode::BadInput => 400,
        FaultCode::Denied => 403,
        FaultCode::TooLarge => 413,
        FaultCode::Quota => 429,
        FaultCode::Unavailable => 503,
        FaultCode::Timeout => 504,
        FaultCode::BadConfig | FaultCode::Internal => 500,
    }
}

/// What the client reads of a fault.
fn error_response(fault: &Fault) -> Response {
    let code = match fault.code {
        FaultCode::BadInput => "bad_request",
        FaultCode::Denied => "forbidden",
        FaultCode::TooLarge => "payload_too_large",
        FaultCode::Quota => "rate_limited",
        FaultCode::Unavailable => "unavailable",
        FaultCode::Timeout => "gateway_timeout",
        FaultCode::BadConfig | FaultCode::Internal => "internal_error",
    };
    let error = serde_json::json!({"error": {"code": code, "message": fault.message, "details": null}});
    Response::json(&error).with_status(status_of(fault.code))
}

/// What a route answers, an error included.
pub(crate) fn answer<R: Route>(request: Request) -> Response {
    R::handle(request).unwrap_or_else(|fault| error_response(&fault))
}
