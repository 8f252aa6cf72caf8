//! Streamable HTTP through the gateway's egress.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http_body_util::BodyExt;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue,
    LOCATION, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, StatusCode};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, RequestId, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    AuthRequiredError, SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use serde_json::json;
use sse_stream::{Sse, SseStream};
use url::{Position, Url};

use super::discovery::parameter;
use super::failure;
use super::login::{Login, NoToken};
use super::settings::Site;
use super::wire;
use prx_egress::{Body, Egress, Failure, Request, Response, Segment, Timeouts};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// The name of the login's token among the secrets of a request.
const TOKEN: &str = "oauth token";
/// Largest answer in bytes, a stream of events included.
const MAX_BODY_BYTES: u64 = 64 << 20;
/// How long a stream may stay open and be silent; calls have a timeout of their own.
const STREAM_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// How much of an unexpected answer is shown, and is searched for what it is about, in bytes.
const MAX_SHOWN_BYTES: usize = 200;
const MAX_READ_BYTES: usize = 4 << 10;
/// Most redirects that are followed for one request.
const MAX_REDIRECTS: usize = 3;

type Error = StreamableHttpError<Failure>;
pub(super) type Headers = HashMap<HeaderName, HeaderValue>;

/// Calls one server.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) egress: Egress,
    pub(super) site: Arc<Site>,
    /// Whose token goes with the requests; none where they have an authorization header already.
    pub(super) login: Option<Arc<Login>>,
    /// It was asked to initialize a connection and knows no such request: it may be of an older protocol.
    refused: Arc<AtomicBool>,
}

impl Client {
    pub(super) fn new(egress: Egress, site: Site, login: Option<Arc<Login>>) -> Self {
        Self { egress, site: Arc::new(site), login, refused: Arc::default() }
    }

    /// The same for another URL of the server.
    pub(super) fn at(&self, url: String) -> Self {
        Self { site: Arc::new(Site { url, ..Site::clone(&self.site) }), ..self.clone() }
    }

    /// Whether it does not know how connections are initialized today.
    pub(super) fn may_be_older(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    /// Sends a request, and again where it is redirected within the same origin; once more with a renewed token where
    /// the token is refused.
    pub(super) async fn send(
        &self,
        method: Method,
        headers: Headers,
        body: Vec<u8>,
    ) -> Result<Response, Error> {
        let token = self.token(None).await?;
        let response = self.send_with(token.as_deref(), &method, &headers, &body).await?;
        if response.status != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let mut refused = response;
        if token.is_some()
            && let Some(new) = self.token(token.as_deref()).await?
        {
            refused = self.send_with(Some(&new), &method, &headers, &body).await?;
        }
        if refused.status != StatusCode::UNAUTHORIZED {
            return Ok(refused);
        }
        Err(match &self.login {
            Some(login) => Error::AuthRequired(AuthRequiredError::new(login.wanted())),
            None => Error::UnexpectedServerResponse(
                "HTTP 401 Unauthorized: it refuses the authorization header that is set under headers".into(),
            ),
        })
    }

    /// The token for a request, if there is one; another one than that which was refused.
    async fn token(&self, refused: Option<&str>) -> Result<Option<String>, Error> {
        let Some(login) = &self.login else { return Ok(None) };
        let token = match refused {
            Some(refused) => login.renewed(refused).await.map(Some),
            None => login.token().await,
        };
        match token {
            Ok(token) => Ok(token),
            // The server says what is missing.
            Err(NoToken::LoggedOut) => Ok(None),
            Err(NoToken::Unknown(why)) => Err(Error::UnexpectedServerResponse(why.into())),
        }
    }

    /// What the server says to who comes without a token: its challenge, if it wants one.
    pub(super) async fn challenge(&self) -> Result<String, String> {
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "prx", "version": "1"},
        }});
        let headers = Headers::from([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT, HeaderValue::from_static("application/json, text/event-stream")),
        ]);
        let sent = self.send_with(None, &Method::POST, &headers, hello.to_string().as_bytes()).await;
        let response = sent.map_err(|error| failure::http(&error))?;
        let challenge = response.headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        Ok(challenge.unwrap_or_default().to_owned())
    }

    async fn send_with(
        &self,
        token: Option<&str>,
        method: &Method,
        headers: &Headers,
        body: &[u8],
    ) -> Result<Response, Error> {
        let mut url = self.site.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let request = self.request(&url, method, headers, body);
            let response = self.dispatch(request, token).await?;
            let Some(location) = location(&response) else { return Ok(response) };
            url = redirected(&url, &location, method, response.status)?;
        }
        Err(Error::UnexpectedServerResponse(format!("it redirects more than {MAX_REDIRECTS} times").into()))
    }

    fn request(&self, url: &str, method: &Method, headers: &Headers, body: &[u8]) -> Request {
        let protocol = headers
            .iter()
            .map(|(name, value)| (name.to_string(), vec![Segment::Bytes(value.as_bytes().to_vec())]));
        let plain = (ACCEPT_ENCODING.to_string(), vec![Segment::Text("identity".into())]);
        let is_said = self.site.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(&plain.0));
        let body = if body.is_empty() { Vec::new() } else { vec![Segment::Bytes(body.to_vec())] };
        Request {
            method: method.clone(),
            url: vec![Segment::Text(url.to_owned())],
            headers: self
                .site
                .headers
                .iter()
                .cloned()
                .chain(protocol)
                .chain((!is_said).then_some(plain))
                .collect(),
            body: Body::Segments(body),
            timeouts: Timeouts {
                first_byte: STREAM_TIMEOUT,
                idle: STREAM_TIMEOUT,
                total: STREAM_TIMEOUT,
                ..Timeouts::default()
            },
            max_body: MAX_BODY_BYTES,
            redirects: 0,
        }
    }

    async fn dispatch(&self, mut request: Request, token: Option<&str>) -> Result<Response, Error> {
        let Some(token) = token else {
            return self.egress.send(&self.site.policy, request).await.map_err(Error::Client);
        };
        let bearer = vec![Segment::Text("Bearer ".into()), Segment::Secret(TOKEN.into())];
        request.headers.push((AUTHORIZATION.to_string(), bearer));
        let policy = self.site.policy_with(TOKEN, token);
        self.egress.send(&policy, request).await.map_err(Error::Client)
    }
}

/// Where an answer sends its asker, if it does.
fn location(response: &Response) -> Option<String> {
    let redirects = matches!(response.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers.get(LOCATION).filter(|_| redirects)?;
    location.to_str().ok().map(str::to_owned)
}

/// The URL that a redirect leads to.
///
/// # Errors
/// It leads to another origin, or would make another request of this one.
fn redirected(from: &str, location: &str, method: &Method, status: StatusCode) -> Result<String, Error> {
    let refuse = |why: String| Err(Error::UnexpectedServerResponse(why.into()));
    let target = Url::parse(from).and_then(|from| Ok((from.join(location)?, from)));
    let Ok((to, from)) = target else {
        return refuse(format!("HTTP {status}: it redirects to what is no URL"));
    };
    let shown = &to[..Position::AfterPath];
    let keeps = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    if to.origin() != from.origin() {
        return refuse(format!(
            "HTTP {status}: it redirects to another origin; if that is right, set url to {shown}"
        ));
    }
    if !keeps && *method != Method::GET {
        return refuse(format!("HTTP {status}: it redirects to {shown}; set url to that"));
    }
    Ok(to.into())
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
        let begins = matches!(&message, ClientJsonRpcMessage::Request(request)
            if matches!(request.request, ClientRequest::InitializeRequest(_)));
        if begins && matches!(response.status.as_u16(), 400 | 404 | 405) {
            self.refused.store(true, Ordering::Release);
        }
        let asked = match &message {
            ClientJsonRpcMessage::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        if response.status.is_success() && asked.is_none() {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let opened = response.headers.get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
        if response.status.is_success() && is_event_stream(&response.headers) {
            return Ok(StreamableHttpPostResponse::Sse(events(response, asked), opened));
        }
        let (status, encoding) = (response.status, encoding(&response.headers));
        if status == StatusCode::FORBIDDEN
            && let Some(scope) = response.headers.get(WWW_AUTHENTICATE).and_then(missing_scope)
        {
            let why = format!(
                "HTTP {status}: the login does not allow it, which takes {scope}; set that under oauth.scopes and log in again"
            );
            return Err(Error::UnexpectedServerResponse(why.into()));
        }
        if let Some(encoding) = encoding {
            let why = format!("HTTP {status}, and its body is in {encoding}, which was not asked for");
            return Err(Error::UnexpectedServerResponse(why.into()));
        }
        let body = response.collect().await.map_err(|failure| unreadable(status, failure))?;
        let text = String::from_utf8_lossy(&body);
        if session.is_some() && is_forgotten(status, &text) {
            return Err(Error::SessionExpired);
        }
        let mut answers = wire::read(&text);
        answers.retain(|answer| status.is_success() || matches!(answer, ServerJsonRpcMessage::Error(_)));
        match answers.as_slice() {
            [] => Err(unexpected(status, &body)),
            [answer] => {
                let answer = match &asked {
                    Some(asked) => wire::answering(answer.clone(), asked),
                    None => answer.clone(),
                };
                Ok(StreamableHttpPostResponse::Json(answer, opened))
            }
            batch => {
                let all: Vec<_> = batch.iter().map(event).collect();
                Ok(StreamableHttpPostResponse::Sse(stream::iter(all).boxed(), opened))
            }
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
            status if status.is_success() && is_event_stream(&response.headers) => Ok(events(response, None)),
            // Whatever it calls the refusal: it has nothing to say unasked.
            status if status.is_client_error() && last_event.is_none() => Err(Error::ServerDoesNotSupportSse),
            StatusCode::NOT_FOUND => Err(Error::SessionExpired),
            status => Err(unexpected(status, b"")),
        }
    }
}

fn set(headers: &mut Headers, name: HeaderName, value: Option<&str>) {
    headers.extend(value.and_then(|value| Some((name, HeaderValue::from_str(value).ok()?))));
}

pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream")
}

/// The scope that a challenge says is missing.
fn missing_scope(challenge: &HeaderValue) -> Option<String> {
    let challenge = challenge.to_str().ok()?;
    parameter(challenge, "error").filter(|error| error == "insufficient_scope")?;
    Some(parameter(challenge, "scope").unwrap_or_else(|| "another scope".into()))
}

/// An answer whose body can't be read. Of a refusal the status says enough.
fn unreadable(status: StatusCode, failure: Failure) -> Error {
    if status.is_success() {
        return Error::Client(failure);
    }
    Error::UnexpectedServerResponse(format!("HTTP {status}, and its body can't be read: {failure}").into())
}

/// How a body is encoded, where it is.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let encoding = headers.get(CONTENT_ENCODING)?.to_str().ok()?.trim().to_ascii_lowercase();
    let is_name =
        encoding.len() <= 16 && encoding.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (encoding != "identity" && !encoding.is_empty())
        .then(|| if is_name { encoding } else { "an unknown encoding".into() })
}

/// Whether a server says that it does not know the session that a request was for. Many do so with 400.
fn is_forgotten(status: StatusCode, body: &str) -> bool {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => true,
        StatusCode::BAD_REQUEST => {
            let said = body[..body.floor_char_boundary(MAX_READ_BYTES)].to_lowercase();
            said.trim().is_empty() || said.contains("session") || said.contains("not initialized")
        }
        _ => false,
    }
}

/// A stream of events, in which an error that names no request answers the one it was `asked`.
pub(super) fn events(
    response: Response,
    asked: Option<RequestId>,
) -> BoxStream<'static, Result<Sse, SseError>> {
    let mut decoder = Utf8Decoder::default();
    let chunks = response.body.into_data_stream();
    let chunks = chunks.map(move |chunk| chunk.map(|chunk| decoder.decode(chunk)));
    let readable = move |read: Result<Sse, SseError>| {
        let all = match read {
            Ok(sse) => mended(sse, asked.as_ref()),
            Err(error) => vec![Err(error)],
        };
        stream::iter(all)
    };
    SseStream::from_bytes_stream(chunks).flat_map(readable).boxed()
}

/// An event whose message can be read, or the events that take its place.
fn mended(sse: Sse, asked: Option<&RequestId>) -> Vec<Result<Sse, SseError>> {
    if sse.event.as_deref().is_some_and(|kind| kind != "message") {
        return vec![Ok(sse)];
    }
    let Some(data) = sse.data.as_deref().filter(|data| !data.trim().is_empty()) else { return vec![Ok(sse)] };
    match serde_json::from_str::<ServerJsonRpcMessage>(data) {
        Ok(ServerJsonRpcMessage::Error(error)) if error.id.is_none() && asked.is_some() => {}
        Ok(ServerJsonRpcMessage::Response(_)) if data.contains("\"protocolVersion\"") => {}
        Ok(_) => return vec![Ok(sse)],
        Err(_) => {}
    }
    let messages = wire::read(data).into_iter().map(|message| match asked {
        Some(asked) => wire::correlated(message, asked),
        None => message,
    });
    messages.map(|message| Ok(Sse { id: sse.id.clone(), ..event(&message)? })).collect()
}

fn event(message: &ServerJsonRpcMessage) -> Result<Sse, SseError> {
    let data = serde_json::to_string(message).map_err(|error| SseError::Body(Box::new(error)))?;
    Ok(Sse { data: Some(data), ..Sse::default() })
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
