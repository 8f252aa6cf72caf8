//! Over `wasi:http/outgoing-handler`.

use super::{Body, Error, ErrorKind, Request, Response, Source};
use std::time::Duration;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme, http_error_code,
};
use wasip2::io::poll::poll;
use wasip2::io::streams::{InputStream, StreamError};

/// Most bytes that a stream takes in one blocking write.
const MAX_WRITE_BYTES: usize = 4096;
/// Most bytes that are read from a stream at once.
const MAX_READ_BYTES: u64 = 64 << 10;
/// Timeout for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn send(request: Request) -> Result<Response, Error> {
    let outgoing = prepare(&request)?;
    let body = outgoing.body().map_err(|()| invalid("a request without a body"))?;
    let pending = handle(outgoing, Some(options(&request))).map_err(error)?;
    // The gateway reads the body only once the request is under way.
    let written = write(body, &request.body);
    let response = wait(&pending)?;
    written.or_else(|failed| if response.status() >= 400 { Ok(()) } else { Err(failed) })?;
    read(response)
}

fn prepare(request: &Request) -> Result<OutgoingRequest, Error> {
    let (scheme, authority, path) = split(&request.url).ok_or_else(|| invalid(&request.url))?;
    let mut entries: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let mut usual = |name: &str, value: String| {
        if !entries.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            entries.push((name.to_owned(), value.into_bytes()));
        }
    };
    // Without it the body goes in chunks, which strict servers refuse.
    if !request.body.is_empty() {
        usual("content-length", request.body.len().to_string());
    }
    // Nobody here reads anything else.
    usual("accept-encoding", "identity".to_owned());
    let headers = Fields::from_list(&entries).map_err(|_| invalid("a header that may not be set"))?;
    let outgoing = OutgoingRequest::new(headers);
    outgoing
        .set_method(&method(&request.method))
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(Some(authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(&path)))
        .map_err(|()| invalid(&request.url))?;
    Ok(outgoing)
}

/// Scheme, authority, and path with query.
fn split(url: &str) -> Option<(Scheme, &str, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    let rest = rest.split('#').next()?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    (!authority.is_empty()).then_some((scheme, authority, path))
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "OPTIONS" => Method::Options,
        other => Method::Other(other.to_owned()),
    }
}

fn options(request: &Request) -> RequestOptions {
    let options = RequestOptions::new();
    // An option that the gateway does not know is no reason not to send.
    let _ = options.set_connect_timeout(Some(nanoseconds(request.timeout.min(CONNECT_TIMEOUT))));
    let _ = options.set_first_byte_timeout(Some(nanoseconds(request.timeout)));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds(request.timeout)));
    options
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), Error> {
    if !bytes.is_empty() {
        let stream = body.write().map_err(|()| invalid("a request without a body"))?;
        for piece in bytes.chunks(MAX_WRITE_BYTES) {
            stream.blocking_write_and_flush(piece).map_err(broken)?;
        }
    }
    OutgoingBody::finish(body, None).map_err(error)
}

fn wait(pending: &FutureIncomingResponse) -> Result<IncomingResponse, Error> {
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(outcome)) => outcome.map_err(error),
        Some(Err(())) | None => Err(Error::new(ErrorKind::Unexpected, "no answer came")),
    }
}

fn read(response: IncomingResponse) -> Result<Response, Error> {
    let headers = response.headers().entries();
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect();
    let gone = |()| Error::new(ErrorKind::Unexpected, "an answer without a body");
    let body = response.consume().map_err(gone)?;
    let stream = body.stream().map_err(gone)?;
    // Fields drop in order: a stream goes before the body that it belongs to.
    let chunks = Chunks { stream, _body: body, _response: response };
    Ok(Response { status: chunks._response.status(), headers, body: Body::of(chunks) })
}

struct Chunks {
    stream: InputStream,
    _body: IncomingBody,
    _response: IncomingResponse,
}

impl Source for Chunks {
    fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        match self.stream.blocking_read(MAX_READ_BYTES) {
            Ok(chunk) => Some(Ok(chunk)),
            Err(StreamError::Closed) => None,
            Err(failed) => Some(Err(broken(failed))),
        }
    }

    fn is_ready(&self, patience: Duration) -> bool {
        let (stream, over) = (self.stream.subscribe(), subscribe_duration(nanoseconds(patience)));
        poll(&[&stream, &over]).contains(&0)
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("cannot be requested: {what}"))
}

fn broken(failed: StreamError) -> Error {
    match failed {
        StreamError::LastOperationFailed(io) => {
            http_error_code(&io).map_or_else(|| named(&io.to_debug_string()), error)
        }
        StreamError::Closed => cut(),
    }
}

/// What went wrong with a body: for that the gateway's engine has no code, only words.
fn named(words: &str) -> Error {
    match words {
        words if words.contains("timeout") => error(ErrorCode::ConnectionReadTimeout),
        words if words.contains("body size") => error(ErrorCode::HttpResponseBodySize(None)),
        _ => cut(),
    }
}

fn cut() -> Error {
    Error::new(ErrorKind::Unexpected, "the connection broke off")
}

fn error(code: ErrorCode) -> Error {
    use ErrorKind::{Denied, Invalid, Timeout, TooLarge, Unexpected, Unreachable};
    let (kind, message) = match code {
        ErrorCode::HttpRequestDenied => (Denied, "the gateway has no grant for this origin"),
        ErrorCode::DestinationIpProhibited => (Denied, "the gateway does not connect to that address"),
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => (Unreachable, "the name does not resolve"),
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => (Timeout, "no answer in time"),
        ErrorCode::ConnectionRefused => (Unreachable, "the connection was refused"),
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => {
            (Unreachable, "there is no way there")
        }
        ErrorCode::TlsCertificateError => (Unreachable, "the certificate is not valid"),
        ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => {
            (Unreachable, "no TLS connection came about")
        }
        ErrorCode::HttpResponseBodySize(_) => (TooLarge, "too large an answer"),
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestMethodInvalid => {
            (Invalid, "not a valid request")
        }
        ErrorCode::InternalError(Some(reason)) => return Error::new(Unexpected, reason),
        _ => return cut(),
    };
    Error::new(kind, message)
}
