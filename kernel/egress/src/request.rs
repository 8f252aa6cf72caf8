//! A request as a plugin wants it: pieces, with secrets by name.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Body as HttpBody;
use hyper::header::{CONTENT_LENGTH, HOST};
use hyper::http;

use super::failure::Failure;

/// Any error, as a streamed body reports it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A body that arrives while it is sent.
pub type Stream = UnsyncBoxBody<Bytes, BoxError>;

/// A piece of an outgoing text. The pieces are joined here.
#[derive(Clone, PartialEq, Eq)]
pub enum Segment {
    /// As it is.
    Text(String),
    /// As it is.
    Bytes(Vec<u8>),
    /// The granted secret of this name. In a URL it is percent-encoded, elsewhere put in as it is.
    Secret(String),
}

/// What to ask for.
#[derive(Debug)]
pub struct Request {
    /// Any method but CONNECT and TRACE.
    pub method: http::Method,
    /// The whole URL. Secrets may stand after the host only.
    pub url: Vec<Segment>,
    /// Everything but what belongs to the connection (`Host`, `Content-Length`, `Connection`, …).
    pub headers: Vec<(String, Vec<Segment>)>,
    /// What to send along.
    pub body: Body,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// The largest answer to take, in bytes.
    pub max_body: u64,
    /// How many redirects to follow. At 0 a redirect is an answer like any other.
    pub redirects: u8,
}

/// What to send along.
pub enum Body {
    /// All of it, in pieces to be joined. No piece: no body.
    Segments(Vec<Segment>),
    /// A stream, and its length where that is known. Holds no secrets and can't be sent twice.
    Stream(Stream, Option<u64>),
    /// Pieces of both kinds, to be joined while they are sent. Can't be sent twice.
    Pieces(Vec<Piece>),
}

/// A piece of a body.
pub enum Piece {
    /// As in [`Body::Segments`].
    Segment(Segment),
    /// A stream of this length.
    Stream(Stream, u64),
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a place, the name, the connection and the TLS handshake together.
    pub connect: Duration,
    /// From there to the answer's head; the time to send the request counts.
    pub first_byte: Duration,
    /// Between two pieces of the answer, while somebody waits for the next.
    pub idle: Duration,
    /// For everything, redirects and the last byte of the answer included.
    pub total: Duration,
}

impl Request {
    /// A request from `wasi:http`. A secret stands in a header value as `{secret:NAME}`. The guest's `Host` and
    /// `Content-Length` are not passed on: the former follows from the URL, the latter bounds the body.
    ///
    /// # Errors
    /// A `Content-Length` that is no number.
    pub fn from_http<B>(request: http::Request<B>, timeouts: Timeouts, max_body: u64) -> Result<Self, Failure>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let length = match parts.headers.get(CONTENT_LENGTH).map(|value| value.to_str()) {
            None => body.size_hint().exact(),
            Some(value) => match value.ok().and_then(|value| value.parse().ok()) {
                Some(length) => Some(length),
                None => return Err(Failure::denied("the Content-Length header is no number")),
            },
        };
        let body = match length {
            Some(0) => Body::default(),
            _ => Body::Stream(body.map_err(Into::into).boxed_unsync(), length),
        };
        let ours = [HOST, CONTENT_LENGTH];
        let theirs = parts.headers.iter().filter(|(name, _)| !ours.contains(name));
        let headers =
            theirs.map(|(name, value)| (name.to_string(), placeholders(value.as_bytes()))).collect();
        let url = vec![Segment::Text(parts.uri.to_string())];
        Ok(Self { method: parts.method, url, headers, body, timeouts, max_body, redirects: 0 })
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Segments(Vec::new())
    }
}

impl Default for Timeouts {
    /// What suits a call to a web API: 10 s to connect, 30 s for each wait, 60 s in all.
    fn default() -> Self {
        let wait = Duration::from_secs(30);
        let connect = Duration::from_secs(10);
        Self { connect, first_byte: wait, idle: wait, total: Duration::from_secs(60) }
    }
}

impl fmt::Debug for Segment {
    /// Shows no content: a URL piece may be as private as a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Secret(name) => write!(f, "Secret({name})"),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segments(segments) => f.debug_tuple("Segments").field(segments).finish(),
            Self::Stream(_, length) => f.debug_tuple("Stream").field(length).finish(),
            Self::Pieces(pieces) => f.debug_tuple("Pieces").field(&pieces.len()).finish(),
        }
    }
}

/// Splits a header value at its `{secret:NAME}` placeholders. Anything that only looks like one stays text.
fn placeholders(mut value: &[u8]) -> Vec<Segment> {
    const OPEN: &[u8] = b"{secret:";
    let mut segments = Vec::new();
    let mut text = Vec::new();
    while let Some((&first, rest)) = value.split_first() {
        let name = value.strip_prefix(OPEN).and_then(secret_name);
        if let Some(name) = name {
            segments.push(Segment::Bytes(std::mem::take(&mut text)));
            segments.push(Segment::Secret(name.to_owned()));
            value = &value[OPEN.len() + name.len() + 1..];
        } else {
            text.push(first);
            value = rest;
        }
    }
    segments.push(Segment::Bytes(text));
    segments
}

fn secret_name(text: &[u8]) -> Option<&str> {
    let end = text.iter().position(|byte| *byte == b'}').filter(|end| *end > 0)?;
    let name = std::str::from_utf8(&text[..end]).ok()?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)).then_some(name)
}
