//! HTTP in, JSON out.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wait::TEST_TIMEOUT;

/// A caller of the API with one token. Every request has a connection of its own, so a failed one is the
/// gateway's doing.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    token: Option<String>,
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, by lower-case name.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

/// A response that comes in server-sent events.
pub struct EventStream {
    body: Incoming,
    unread: Vec<u8>,
    id: Option<String>,
}

impl Client {
    /// A client of the gateway at this address, with this token or none.
    pub fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self { address, token }
    }

    /// The same gateway, another token or none.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { address: self.address, token: token.map(Into::into) }
    }

    /// GET under `/api/v1`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path), Bytes::new()).await
    }

    /// DELETE under `/api/v1`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path), Bytes::new()).await
    }

    /// POST of JSON under `/api/v1`.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.try_post(path, body).await.unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// POST of JSON under `/api/v1` to a gateway that may be killed meanwhile.
    ///
    /// # Errors
    /// No whole response came.
    pub async fn try_post(&self, path: &str, body: Value) -> io::Result<Answer> {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        self.try_send(request, body.to_string().into()).await
    }

    /// A request under `/api/v1` whose body is sent as it is.
    pub async fn upload(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send(self.request(method, path).header("content-type", content_type), body.into()).await
    }

    /// A POST under `/api/v1` that is answered by events.
    pub async fn stream(&self, path: &str, body: Value) -> EventStream {
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .header("accept", "text/event-stream");
        self.events(request, body.to_string().into()).await
    }

    /// A GET under `/api/v1` that is answered by events: those after the one of this id, if one is given.
    pub async fn follow(&self, path: &str, last_id: Option<&str>) -> EventStream {
        let request = self.request(Method::GET, path);
        let request = last_id.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        self.events(request, Bytes::new()).await
    }

    /// What [`Client::request`] or [`Client::bare`] began, answered by events.
    pub async fn events(&self, request: hyper::http::request::Builder, body: Bytes) -> EventStream {
        let response = timeout(TEST_TIMEOUT, self.exchange(request, body)).await.expect("an answer in time");
        let response = response.unwrap_or_else(|error| panic!("no answer: {error}"));
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind.split(';').next(), Some("text/event-stream"));
        EventStream { body: response.into_body(), unread: Vec::new(), id: None }
    }

    /// PATCH of JSON under `/api/v1`.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.upload(Method::PATCH, path, "application/json", body.to_string()).await
    }

    /// The start of a request under `/api/v1`, with this client's token.
    pub fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        self.bare(method, &format!("/api/v1{path}"))
    }

    /// The start of a request to any path, with this client's token.
    pub fn bare(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let request = Request::builder().method(method).uri(path).header("host", self.address.to_string());
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// Sends what [`Client::request`] began.
    pub async fn send(&self, request: hyper::http::request::Builder, body: Bytes) -> Answer {
        self.try_send(request, body).await.unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The same; an error where no answer comes.
    pub async fn try_send(&self, request: hyper::http::request::Builder, body: Bytes) -> io::Result<Answer> {
        let whole = async {
            let (head, body) = self.exchange(request, body).await?.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        timeout(TEST_TIMEOUT, whole).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn exchange(
        &self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> io::Result<Response<Incoming>> {
        let request = request.body(Full::new(body)).map_err(io::Error::other)?;
        let stream = TokioIo::new(TcpStream::connect(self.address).await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
        // The connection lives as long as its response is read.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(io::Error::other)
    }
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }

    /// The body as JSON, of an answer that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The message of an error that must have this status and code, and be in the envelope and nothing but it.
    #[track_caller]
    pub fn error(&self, status: u16, code: &str) -> String {
        let body = self.expect(status);
        assert_eq!(body["error"]["code"], code, "{self}");
        let error = body["error"].as_object().unwrap_or_else(|| panic!("no error envelope: {self}"));
        assert!(error.contains_key("details"), "an error always has details, if null: {self}");
        assert_eq!(body.as_object().map(|envelope| envelope.len()), Some(1), "{self}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "an error says what is wrong: {self}");
        message.to_owned()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = &self.body[..self.body.len().min(2_000)];
        write!(f, "{} {}", self.status, String::from_utf8_lossy(start))
    }
}

impl EventStream {
    /// The id of the last event that had one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The next event and its data; none once the stream has ended.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                let block = std::str::from_utf8(&block).expect("events are UTF-8");
                let id = block.lines().find_map(|line| line.strip_prefix("id: "));
                self.id = id.map(str::to_owned).or(self.id.take());
                match parse(block) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let frame = timeout(TEST_TIMEOUT, self.body.frame()).await.expect("an event in time")?;
            if let Ok(data) = frame.expect("a whole stream").into_data() {
                self.unread.extend_from_slice(&data);
            }
        }
    }

    /// Every event that is still to come.
    pub async fn rest(mut self) -> Vec<(String, Value)> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// One block of an event stream; none for a comment that only keeps the connection alive.
fn parse(block: &str) -> Option<(String, Value)> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>().join("\n")
    };
    let (event, data) = (field("event"), field("data"));
    if data.is_empty() {
        return None;
    }
    Some((event, serde_json::from_str(&data).unwrap_or_else(|error| panic!("no JSON ({error}): {block}"))))
}
