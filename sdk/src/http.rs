//! A small blocking HTTP client for tools and providers; feature `http`.
//!
//! Requests leave through the gateway, which lets them go only to the origins that the manifest asks for and the
//! operator granted, and puts secrets in. A header value may hold `{secret:KEY}` where KEY is a configuration key that
//! the manifest declares secret; the plugin never sees the value. [`crate::config::headers`] has the ones that the operator set.
//!
//! ```
//! use prx_sdk::http::{self, Response};
//! use prx_sdk::testing;
//! use serde_json::{Value, json};
//!
//! testing::serve(|request| {
//!     assert_eq!(request.url, "https://api.example.org/v1/search?q=S%C3%A3o%20Paulo");
//!     Ok(Response::new(200, json!({"hits": 1}).to_string()))
//! });
//! let response = http::get("https://api.example.org/v1/search").query("q", "São Paulo").bearer("api_key").send()?;
//! assert_eq!(response.json::<Value>()?["hits"], 1);
//! # Ok::<(), http::Error>(())
//! ```

#[cfg(target_family = "wasm")]
mod wasi;

#[cfg(not(target_family = "wasm"))]
use crate::testing::send;
use crate::types::{Fault, FaultCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, Read};
use std::time::Duration;
#[cfg(target_family = "wasm")]
use wasi::send;

/// Most bytes of a body that are read only to reach its end.
const MAX_DRAIN_BYTES: usize = 64 << 10;

/// A GET of this URL.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A POST to this URL.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// A request to come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request goes out with `send`"]
pub struct Request {
    /// The method, in capitals.
    pub method: String,
    /// Where to: `http` or `https`, without user, fragment and secrets.
    pub url: String,
    /// Names and values, in order. The gateway sets `host` and what the connection needs.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// How long it may stay silent: until the first byte, and between two reads. To connect, ten seconds of that at
    /// most.
    pub timeout: Duration,
    /// How many bytes of body the response may have.
    pub max_body: usize,
}

impl Request {
    /// A request without headers and body: 30 seconds, 8 MiB.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(30),
            max_body: 8 << 20,
        }
    }

    /// Adds a parameter to the URL's query, encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.push(if self.url.contains('?') { '&' } else { '?' });
        encode(name, &mut self.url);
        self.url.push('=');
        encode(value, &mut self.url);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets these headers, each in the place of what there is of its name.
    pub fn set_headers(mut self, headers: Vec<(String, String)>) -> Self {
        let is_set = |name: &str| headers.iter().any(|(set, _)| set.eq_ignore_ascii_case(name));
        self.headers.retain(|(name, _)| !is_set(name));
        self.headers.extend(headers);
        self
    }

    /// Adds `authorization: Bearer …` with the value of a secret configuration key.
    pub fn bearer(self, secret: &str) -> Self {
        self.header("authorization", format!("Bearer {{secret:{secret}}}"))
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to this JSON, with its content type.
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// Sets how long it may stay silent.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many bytes of body the response may have.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sends it, and waits for status and headers. Redirects are not followed.
    ///
    /// # Errors
    /// There is no response. A status of 400 or 500 is one.
    pub fn send(self) -> Result<Response, Error> {
        let limit = self.max_body;
        let mut response = send(self)?;
        response.body.left = limit;
        Ok(response)
    }
}

/// A response whose body may still be coming.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body, to be read as it comes.
    pub body: Body,
}

impl Response {
    /// A response with this body and no headers, for tests.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: Body::new(std::iter::once(Ok(body.into()))) }
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// How long the server asks to wait before the next try: `retry-after-ms`, or `retry-after` in seconds or as a date,
    /// which is compared with the server's own `date`.
    pub fn retry_after(&self) -> Option<Duration> {
        let wait = |name, unit: f64| {
            let seconds = self.header(name)?.trim().parse::<f64>().ok()? * unit;
            Duration::try_from_secs_f64(seconds).ok()
        };
        let until = || {
            let date = |name| httpdate::parse_http_date(self.header(name)?.trim()).ok();
            Some(date("retry-after")?.duration_since(date("date")?).unwrap_or_default())
        };
        wait("retry-after-ms", 0.001).or_else(|| wait("retry-after", 1.0)).or_else(until)
    }

    /// The whole body.
    ///
    /// # Errors
    /// The body broke off, took too long or is too large.
    pub fn bytes(mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.body.chunk()? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The whole body as text; what is no UTF-8 is replaced.
    ///
    /// # Errors
    /// As `bytes`.
    pub fn text(self) -> Result<String, Error> {
        let bytes = self.bytes()?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    /// The whole body read as JSON.
    ///
    /// # Errors
    /// As `bytes`, and `Unexpected` when it is not JSON of this shape.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes()?)
            .map_err(|e| Error::new(ErrorKind::Unexpected, format!("an answer that makes no sense: {e}")))
    }
}

/// The body of a response, read as it comes: in chunks, or as a `BufRead`, line by line for instance.
pub struct Body {
    source: Box<dyn Source>,
    current: io::Cursor<Vec<u8>>,
    left: usize,
}

/// Where the pieces of a body come from.
trait Source {
    /// Waits for the next piece. None: that was all.
    fn next(&mut self) -> Option<Result<Vec<u8>, Error>>;

    /// Waits no longer than this. Whether the next piece, or the end, is there.
    fn is_ready(&self, patience: Duration) -> bool;
}

/// Pieces that are all there already.
struct Ready<T>(T);

impl<T: Iterator<Item = Result<Vec<u8>, Error>>> Source for Ready<T> {
    fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        self.0.next()
    }

    fn is_ready(&self, _: Duration) -> bool {
        true
    }
}

impl Body {
    /// A body of these chunks.
    pub fn new(chunks: impl Iterator<Item = Result<Vec<u8>, Error>> + 'static) -> Self {
        Self::of(Ready(chunks))
    }

    fn of(source: impl Source + 'static) -> Self {
        Self { source: Box::new(source), current: io::Cursor::default(), left: usize::MAX }
    }

    /// Waits for the next piece. None: that was all.
    ///
    /// # Errors
    /// The body broke off, took too long or is too large.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let Some(chunk) = self.source.next().transpose()? else { return Ok(None) };
        self.left = self
            .left
            .checked_sub(chunk.len())
            .ok_or(Error::new(ErrorKind::TooLarge, "too large an answer"))?;
        Ok(Some(chunk))
    }

    /// Reads to the end if that is near and comes within `patience`, so that the connection can serve the next
    /// request. For a reader that knows that nothing more of interest follows.
    pub fn finish(mut self, patience: Duration) {
        self.left = self.left.min(MAX_DRAIN_BYTES);
        while self.source.is_ready(patience) && matches!(self.chunk(), Ok(Some(_))) {}
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body")
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill_buf()?;
        self.current.read(buffer)
    }
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.fill_buf()?.is_empty() {
            match self.chunk().map_err(io::Error::other)? {
                Some(chunk) => self.current = io::Cursor::new(chunk),
                None => break,
            }
        }
        self.current.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.current.consume(amount);
    }
}

/// Why there is no response, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What a plugin may want to tell apart.
    pub kind: ErrorKind,
    /// What went wrong, for the operator.
    pub message: String,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request cannot be sent as it is: no URL, or a header that is none.
    Invalid,
    /// The gateway does not let it go there.
    Denied,
    /// No connection: no such name, refused, no valid certificate.
    Unreachable,
    /// It took too long.
    Timeout,
    /// The response is larger than allowed.
    TooLarge,
    /// What came back broke off or is not what it should be.
    Unexpected,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let code = match error.kind {
            ErrorKind::Invalid => FaultCode::BadConfig,
            ErrorKind::Denied => FaultCode::Denied,
            ErrorKind::Timeout => FaultCode::Timeout,
            ErrorKind::TooLarge => FaultCode::TooLarge,
            ErrorKind::Unreachable | ErrorKind::Unexpected => FaultCode::Unavailable,
        };
        Self::new(code, error.message)
    }
}

impl From<Error> for crate::provider::ProviderError {
    fn from(error: Error) -> Self {
        let retryable =
            matches!(error.kind, ErrorKind::Unreachable | ErrorKind::Timeout | ErrorKind::Unexpected);
        Self { retryable, ..Fault::from(error).into() }
    }
}

/// What is escaped: all but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encode(text: &str, url: &mut String) {
    url.extend(utf8_percent_encode(text, RESERVED));
}
