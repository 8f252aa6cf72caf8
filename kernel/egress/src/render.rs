//! From pieces to the bytes that leave: the one place where secrets are put in.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http;
use hyper::{Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Position, Url};

use super::failure::{Failure, Kind};
use super::origin::{HTTP, InvalidUrl, Origin, Schemes, WEBSOCKET, origin_end, parse_url};
use super::policy::Secrets;
use super::request::{Body, Piece, Request, Segment, Stream};

/// The longest URL, in bytes.
const MAX_URL_BYTES: usize = 16 * 1024;
/// Headers of one request.
const MAX_HEADERS: usize = 100;
/// Bytes of all names and values of headers together.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Everything but what can't end the URL part it stands in.
const RESERVED_IN_URLS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');
const USER_AGENT: &str = concat!("prx/", env!("CARGO_PKG_VERSION"));

/// Headers that say how the connection is used. They are the kernel's alone.
const RESERVED: [HeaderName; 18] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("forwarded"),
];

/// Whether a header is the gateway's alone: it says how the connection is used, or what is in the body.
pub fn is_reserved_header(name: &HeaderName) -> bool {
    const OF_BODIES: [HeaderName; 3] =
        [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::ACCEPT_ENCODING];
    RESERVED.contains(name) || OF_BODIES.contains(name)
}

/// A request whose secrets are in. Header values that hold one are marked sensitive.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) origin: Origin,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
}

/// The body of an [`Outgoing`] request.
pub(super) enum Content {
    /// Can be sent again.
    Whole { bytes: Bytes, secret: bool },
    /// Can be sent once.
    Once(Stream),
    /// Has been sent, and could be only once.
    Spent,
}

impl Outgoing {
    /// Joins the pieces of `request` and checks what every request must keep to.
    pub(super) fn render(request: Request, secrets: &Secrets) -> Result<Self, Failure> {
        let Request { method, url, headers, body, .. } = request;
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(Failure::denied(format!("the method {method} is not served")));
        }
        let url = render_url(&url, &HTTP, secrets)?;
        let origin = Origin::of(&url).map_err(invalid)?;
        let mut headers = render_headers(&headers, secrets).map_err(|why| denied(&origin, why))?;
        let content = match body {
            Body::Segments(segments) => {
                let (bytes, secret) = join(&segments, secrets).map_err(|why| denied(&origin, why))?;
                Content::Whole { bytes: bytes.into(), secret }
            }
            Body::Stream(stream, length) => {
                if let Some(length) = length {
                    headers.insert(header::CONTENT_LENGTH, length.into());
                }
                Content::Once(stream)
            }
            Body::Pieces(pieces) => {
                let (stream, length) = chain(pieces, secrets).map_err(|why| denied(&origin, why))?;
                headers.insert(header::CONTENT_LENGTH, length.into());
                Content::Once(stream)
            }
        };
        Ok(Self { method, url, origin, headers, content })
    }

    /// The message for the wire. A streamed body leaves with the first call.
    pub(super) fn message(&mut self) -> Result<http::Request<Stream>, Failure> {
        let body = match std::mem::replace(&mut self.content, Content::Spent) {
            Content::Whole { bytes, secret } => {
                self.content = Content::Whole { bytes: bytes.clone(), secret };
                Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
            }
            Content::Once(stream) => stream,
            Content::Spent => return Err(denied(&self.origin, "a streamed body can't be sent again")),
        };
        let target = &self.url[Position::BeforePath..Position::AfterQuery];
        let uri = target.parse::<Uri>().map_err(|_| denied(&self.origin, "the URL is malformed"))?;
        let host = host_header(&self.origin)?;
        let mut message = http::Request::new(body);
        *message.method_mut() = self.method.clone();
        *message.uri_mut() = uri;
        *message.headers_mut() = self.headers.clone();
        message.headers_mut().insert(header::HOST, host);
        Ok(message)
    }
}

/// The request that asks an origin for a WebSocket, but for what the handshake adds.
pub(super) fn upgrade(
    url: &[Segment],
    headers: &[(String, Vec<Segment>)],
    secrets: &Secrets,
) -> Result<(Origin, http::Request<()>), Failure> {
    let url = render_url(url, &WEBSOCKET, secrets)?;
    let origin = Origin::of(&url).map_err(invalid)?;
    let uri = url.as_str().parse::<Uri>().map_err(|_| denied(&origin, "the URL is malformed"))?;
    let host = host_header(&origin)?;
    let mut request = http::Request::new(());
    *request.uri_mut() = uri;
    *request.headers_mut() = render_headers(headers, secrets).map_err(|why| denied(&origin, why))?;
    request.headers_mut().insert(header::HOST, host);
    Ok((origin, request))
}

fn host_header(origin: &Origin) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(&origin.authority()).map_err(|_| denied(origin, "the host is malformed"))
}

fn render_url(segments: &[Segment], schemes: &Schemes, secrets: &Secrets) -> Result<Url, Failure> {
    let mut text = String::new();
    for segment in segments {
        match segment {
            Segment::Text(piece) => text.push_str(piece),
            Segment::Bytes(piece) => match std::str::from_utf8(piece) {
                Ok(piece) => text.push_str(piece),
                Err(_) => return Err(Failure::denied("the URL is not text")),
            },
            // A secret there would be shown to the resolver, and to whoever reads the reason of a failure.
            Segment::Secret(_) if origin_end(&text).is_none() => {
                return Err(Failure::denied("a secret can't stand in a URL's scheme, host or port"));
            }
            Segment::Secret(name) => {
                text.push_str(&percent_encoded(lookup(name, secrets).map_err(Failure::denied)?));
            }
        }
    }
    if text.len() > MAX_URL_BYTES {
        return Err(Failure::denied(format!("the URL is longer than {MAX_URL_BYTES} bytes")));
    }
    let url = parse_url(&text).map_err(invalid)?;
    schemes.check(&url).map_err(invalid)?;
    Ok(url)
}

fn render_headers(headers: &[(String, Vec<Segment>)], secrets: &Secrets) -> Result<HeaderMap, String> {
    if headers.len() > MAX_HEADERS {
        return Err(format!("more than {MAX_HEADERS} headers"));
    }
    let mut rendered = HeaderMap::with_capacity(headers.len() + 3);
    let mut size = 0;
    for (name, value) in headers {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err("a header's name has characters that belong in none".to_owned());
        };
        if RESERVED.contains(&name) {
            return Err(format!("the header {name} is the gateway's own"));
        }
        let (value, secret) = join(value, secrets)?;
        size += name.as_str().len() + value.len();
        let Ok(mut value) = HeaderValue::from_maybe_shared(Bytes::from(value)) else {
            return Err(format!("the header {name} has line breaks or control characters"));
        };
        value.set_sensitive(secret);
        rendered.append(name, value);
    }
    if size > MAX_HEADER_BYTES {
        return Err(format!("the headers are longer than {MAX_HEADER_BYTES} bytes"));
    }
    // In an encoded answer an echoed secret would not be found.
    if !secrets.is_empty() {
        rendered.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    rendered.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
    Ok(rendered)
}

/// The pieces as one, and whether a secret is in it.
pub(super) fn join(segments: &[Segment], secrets: &Secrets) -> Result<(Vec<u8>, bool), String> {
    let mut joined = Vec::new();
    let mut secret = false;
    for segment in segments {
        match segment {
            Segment::Text(text) => joined.extend_from_slice(text.as_bytes()),
            Segment::Bytes(bytes) => joined.extend_from_slice(bytes),
            Segment::Secret(name) => {
                joined.extend_from_slice(lookup(name, secrets)?.as_bytes());
                secret = true;
            }
        }
    }
    Ok((joined, secret))
}

/// The pieces one after the other, and their length together.
fn chain(pieces: Vec<Piece>, secrets: &Secrets) -> Result<(Stream, u64), String> {
    let (mut streams, mut length) = (Vec::with_capacity(pieces.len()), 0);
    for piece in pieces {
        let (stream, size) = match piece {
            Piece::Segment(segment) => {
                let bytes = Bytes::from(join(&[segment], secrets)?.0);
                let size = bytes.len() as u64;
                (Full::new(bytes).map_err(|never| match never {}).boxed_unsync(), size)
            }
            Piece::Stream(stream, size) => (stream, size),
        };
        length += size;
        streams.push(stream.into_data_stream());
    }
    let frames = stream::iter(streams).flatten().map_ok(Frame::data);
    Ok((StreamBody::new(frames).boxed_unsync(), length))
}

fn lookup<'a>(name: &str, secrets: &'a Secrets) -> Result<&'a str, String> {
    match secrets.get(name) {
        Some(secret) => Ok(secret.expose()),
        None => Err(format!("the secret {name:?} is not granted")),
    }
}

/// `text` so that it can't end the URL part it stands in.
pub(super) fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED_IN_URLS).to_string()
}

fn denied(origin: &Origin, why: impl std::fmt::Display) -> Failure {
    Failure::unsent(Kind::Denied, origin, why)
}

fn invalid(why: InvalidUrl) -> Failure {
    Failure::denied(why.to_string())
}
