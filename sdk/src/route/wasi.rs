//! Over `wasi:http/incoming-handler`.

use std::io::{self, Read, Write};

use super::{Body, Content, Request, Route, answer};
use crate::log;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse,
    ResponseOutparam, http_error_code,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// Tells the gateway that a body is not whole: the name of a trailer, which goes no further.
const BROKEN: &str = "x-prx-broken";

/// Answers a request of the gateway's.
pub fn serve<R: Route>(request: IncomingRequest, out: ResponseOutparam) {
    let method = method(&request.method());
    let is_head = method == "HEAD";
    let response = answer::<R>(read(method, &request));
    let (status, mut headers, content) = response.into_parts();
    if let Content::Whole(bytes) = &content
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        && !matches!(status, 100..200 | 204 | 304)
    {
        headers.push(("content-length".to_owned(), bytes.len().to_string()));
    }
    let fields: Vec<_> = headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
    let head = Fields::from_list(&fields).map_err(|error| format!("a header that can't be sent: {error:?}"));
    let head = head.and_then(|fields| {
        let head = OutgoingResponse::new(fields);
        head.set_status_code(status).map(|()| head).map_err(|()| format!("{status} is no status"))
    });
    let head = match head {
        Ok(head) => head,
        Err(reason) => return ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some(reason)))),
    };
    let Ok(body) = head.body() else { return };
    ResponseOutparam::set(out, Ok(head));
    let Ok(stream) = body.write() else { return };
    let mut stream = Out(stream);
    let written = match content {
        _ if is_head => Ok(()),
        Content::Whole(bytes) => stream.write_all(&bytes).map_err(|error| error.to_string()),
        Content::Stream(write) => write(&mut stream).map_err(|fault| fault.message),
    };
    drop(stream);
    let broken = written.err().map(|reason| {
        log::warn(&format!("an answer breaks off: {reason}"));
        Fields::from_list(&[(BROKEN.to_owned(), b"1".to_vec())])
    });
    // Where the client has gone there is nobody to be told.
    let _ = OutgoingBody::finish(body, broken.and_then(Result::ok));
}

fn read(method: String, request: &IncomingRequest) -> Request {
    let whole = request.path_with_query().unwrap_or_else(|| "/".to_owned());
    let headers = request.headers().entries().into_iter();
    let headers = headers.map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()));
    let (path, query) = whole.split_once('?').unwrap_or((&whole, ""));
    Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.collect(),
        body: request
            .consume()
            .map_or_else(|()| Body::new(Vec::new()), |body| Body(Box::new(Incoming::of(body)))),
    }
}

fn method(method: &Method) -> String {
    let name = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    };
    name.to_owned()
}

/// Fields drop in order: a stream goes before the body that it belongs to.
struct Incoming {
    stream: Option<InputStream>,
    _body: IncomingBody,
}

impl Incoming {
    fn of(body: IncomingBody) -> Self {
        Self { stream: body.stream().ok(), _body: body }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = self.stream.as_ref().filter(|_| !buffer.is_empty()) else { return Ok(0) };
        match stream.blocking_read(buffer.len() as u64) {
            Ok(piece) => {
                buffer[..piece.len()].copy_from_slice(&piece);
                Ok(piece.len())
            }
            Err(StreamError::Closed) => Ok(0),
            Err(StreamError::LastOperationFailed(error)) => Err(match http_error_code(&error) {
                Some(ErrorCode::HttpRequestBodySize(_)) => io::ErrorKind::FileTooLarge.into(),
                Some(ErrorCode::ConnectionReadTimeout) => io::ErrorKind::TimedOut.into(),
                _ => named(&error.to_debug_string()),
            }),
        }
    }
}

/// What went wrong with a body: for that the gateway's engine may have no code, only words.
fn named(words: &str) -> io::Error {
    // After them there may be a backtrace, in which any word can stand.
    let words = words.to_ascii_lowercase();
    match words.split("stack backtrace").next().unwrap_or_default() {
        words if words.contains("bodysize") || words.contains("body size") => {
            io::ErrorKind::FileTooLarge.into()
        }
        words if words.contains("timeout") => io::ErrorKind::TimedOut.into(),
        _ => io::ErrorKind::UnexpectedEof.into(),
    }
}

struct Out(OutputStream);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            match usize::try_from(self.0.check_write().map_err(gone)?).unwrap_or(usize::MAX) {
                0 => self.0.subscribe().block(),
                room => {
                    let piece = &bytes[..bytes.len().min(room)];
                    self.0.write(piece).map_err(gone)?;
                    return Ok(piece.len());
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(gone)
    }
}

fn gone(_: StreamError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone")
}
