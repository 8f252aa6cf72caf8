//! Streamable HTTP through the gateway's egress.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http_body_util::BodyExt;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::{Sse, SseStream};

use super::settings::Site;
use prx_egress::{Body, Egress, Failure, Request, Response, Segment, Timeouts};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// Largest answer in bytes, a stream of events included.
const MAX_BODY_BYTES: u64 = 64 << 20;
/// How long a stream may stay open and be silent; calls have a timeout of their own.
const STREAM_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// How much of an unexpected answer is shown, in bytes.
const MAX_SHOWN_BYTES: usize = 200;

type Error = StreamableHttpError<Failure>;
type Headers = HashMap<HeaderName, HeaderValue>;

/// Calls one server.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) egress: Egress,
    pub(super) site: Arc<Site>,
}

impl Client {
    async fn send(&self, method: Method, headers: Headers, body: Vec<u8>) -> Result<Response, Error> {
        let protocol = headers
            .into_iter()
            .map(|(name, value)| (name.to_string(), vec![Segment::Bytes(value.as_bytes().to_vec())]));
        let body = if body.is_empty() { Vec::new() } else { vec![Segment::Bytes(body)] };
        let request = Request {
            method,
            url: vec![Segment::Text(self.site.url.clone())],
            headers: self.site.headers.iter().cloned().chain(protocol).collect(),
            body: Body::Segments(body),
            timeouts: Timeouts {
                first_byte: STREAM_TIMEOUT,
                idle: STREAM_TIMEOUT,
                total: STREAM_TIMEOUT,
                ..Timeouts::default()
            },
            max_body: MAX_BODY_BYTES,
            redirects: 0,
        };
        self.egress.send(&self.site.policy, request).await.map_err(Error::Client)
    }
}

impl StreamableHttpClient for Client {
    type Error = Failure;

    async fn post_message(
        &self,
        _: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _: Option<String>,
        mut headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Error> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        set(&mut headers, SESSION, session.as_deref());
        let body = serde_json::to_vec(&message)?;
        let response = self.send(Method::POST, headers, body).await?;
        if response.status == StatusCode::NOT_FOUND && session.is_some() {
            return Err(Error::SessionExpired);
        }
        let waits = matches!(message, ClientJsonRpcMessage::Request(_));
        if response.status.is_success() && !waits {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let session = response.headers.get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
        if response.status.is_success() && is_event_stream(&response.headers) {
            return Ok(StreamableHttpPostResponse::Sse(events(response), session));
        }
        let status = response.status;
        let body = response.collect().await.map_err(Error::Client)?;
        match serde_json::from_str::<ServerJsonRpcMessage>(&String::from_utf8_lossy(&body)) {
            Ok(answer) if status.is_success() || matches!(answer, ServerJsonRpcMessage::Error(_)) => {
                Ok(StreamableHttpPostResponse::Json(answer, session))
            }
            _ => Err(unexpected(status, &body)),
        }
    }

    async fn delete_session(
        &self,
        _: Arc<str>,
        session: Arc<str>,
        _: Option<String>,
        mut headers: Headers,
    ) -> Result<(), Error> {
        set(&mut headers, SESSION, Some(&session));
        let response = self.send(Method::DELETE, headers, Vec::new()).await?;
        match response.status {
            status if status.is_success() || status == StatusCode::METHOD_NOT_ALLOWED => Ok(()),
            status => Err(unexpected(status, b"")),
        }
    }

    async fn get_stream(
        &self,
        _: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        _: Option<String>,
        mut headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Error> {
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        set(&mut headers, SESSION, session.as_deref());
        set(&mut headers, LAST_EVENT, last_event.as_deref());
        let response = self.send(Method::GET, headers, Vec::new()).await?;
        match response.status {
            status if status.is_success() && is_event_stream(&response.headers) => Ok(events(response)),
            StatusCode::METHOD_NOT_ALLOWED => Err(Error::ServerDoesNotSupportSse),
            StatusCode::NOT_FOUND => Err(Error::SessionExpired),
            status => Err(unexpected(status, b"")),
        }
    }
}

fn set(headers: &mut Headers, name: HeaderName, value: Option<&str>) {
    headers.extend(value.and_then(|value| Some((name, HeaderValue::from_str(value).ok()?))));
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream")
}

fn events(response: Response) -> BoxStream<'static, Result<Sse, SseError>> {
    let mut decoder = Utf8Decoder::default();
    let chunks = response.body.into_data_stream();
    let chunks = chunks.map(move |chunk| chunk.map(|chunk| decoder.decode(chunk)));
    SseStream::from_bytes_stream(chunks).boxed()
}

/// Decodes chunks of bytes as UTF-8, lossily: with \u{fffd} for what is invalid.
#[derive(Default)]
struct Utf8Decoder {
    /// The bytes of a character that the last chunk only began.
    pending: Vec<u8>,
}

impl Utf8Decoder {
    fn decode(&mut self, chunk: Bytes) -> Bytes {
        if self.pending.is_empty() && str::from_utf8(&chunk).is_ok() {
            return chunk;
        }
        let mut bytes = std::mem::take(&mut self.pending);
        bytes.extend_from_slice(&chunk);
        let incomplete = |rest: &&[u8]| str::from_utf8(rest).is_err_and(|error| error.error_len().is_none());
        let last = bytes.utf8_chunks().last().map(|valid| valid.invalid());
        let whole = bytes.len() - last.filter(incomplete).map_or(0, <[u8]>::len);
        self.pending = bytes.split_off(whole);
        String::from_utf8_lossy(&bytes).into_owned().into()
    }
}

fn unexpected(status: StatusCode, body: &[u8]) -> Error {
    let body = String::from_utf8_lossy(&body[..body.len().min(MAX_SHOWN_BYTES)]);
    Error::UnexpectedServerResponse(Cow::Owned(format!("HTTP {status} {body}").trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_however_it_is_cut() {
        let bytes = b"caf\xc3\xa9 \xf0\x9f\x8c\x8d \xff\xc3( \xe2\x82\n";
        for at in 0..=bytes.len() {
            let mut decoder = Utf8Decoder::default();
            let (one, two) = bytes.split_at(at);
            let chunks = [one, two].map(|chunk| decoder.decode(Bytes::copy_from_slice(chunk)));
            assert_eq!(chunks.concat(), String::from_utf8_lossy(bytes).as_bytes(), "cut at {at}");
        }
    }
}
