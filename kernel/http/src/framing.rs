//! What a request's head says of its length, and what is answered to one that can't be read.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::FutureExt;
use http_body_util::{BodyExt, Collected};
use hyper::Response;
use hyper::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};

use super::payload::Payload;
use super::wire::Framing;
use prx_base::error::{Code, Error, Result};

/// Checks that there are no two ways to understand where a request ends.
///
/// # Errors
/// 400 that says which there are.
pub(super) fn check(framing: Framing, headers: &HeaderMap) -> Result<()> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let problem = match (encodings.next(), encodings.next()) {
        (None, _) if framing == Framing::Ambiguous => {
            "has both Content-Length and Transfer-Encoding; send one of them"
        }
        (None, _) => return Ok(()),
        (Some(_), Some(_)) => "has two headers Transfer-Encoding; \"chunked\" is all that is taken",
        (Some(encoding), None) if !encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => {
            "has another Transfer-Encoding than \"chunked\""
        }
        (Some(_), None) => match framing {
            Framing::Plain => return Ok(()),
            Framing::Ambiguous => "has both Content-Length and Transfer-Encoding; send one of them",
            Framing::Unknown => {
                "has a Transfer-Encoding and came before the answer to the one before it; wait for that, or send a \
                 Content-Length"
            }
        },
    };
    Err(Error::bad_request(format!("The request {problem}")))
}

/// The error for a head that can't be read, of the status that says why.
pub(super) fn unreadable(status: u16) -> Error {
    Error::new(
        Code::BadRequest,
        match status {
            431 => "The head of the request is too large; it may have 32 KiB and 100 headers",
            414 => "The address in the request is too long",
            _ => "The request is no HTTP/1.1: its first line or one of its headers can't be read",
        },
    )
}

/// An answer in bytes. Its body is there at once, as that of every error is.
pub(super) fn bytes(response: Response<Payload>) -> Bytes {
    let (head, body) = response.into_parts();
    let body =
        body.collect().now_or_never().and_then(Result::ok).map(Collected::to_bytes).unwrap_or_default();
    let mut bytes = BytesMut::new();
    bytes.put_slice(format!("HTTP/1.1 {}\r\n", head.status).as_bytes());
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != CONTENT_LENGTH) {
        bytes.put_slice(name.as_str().as_bytes());
        bytes.put_slice(b": ");
        bytes.put_slice(value.as_bytes());
        bytes.put_slice(b"\r\n");
    }
    bytes.put_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.put_slice(&body);
    bytes.freeze()
}
