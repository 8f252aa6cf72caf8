//! HTTP over the socket in the data directory.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::net::UnixStream;

use super::failure::Failure;
use prx_http::SOCKET;

/// What is escaped: all but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A client of the gateway that runs on a data directory.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
}

/// What goes with a request.
#[derive(Debug)]
pub(super) enum Payload {
    None,
    Json(Value),
    Component(Bytes),
}

impl Client {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { socket: data_dir.join(SOCKET) }
    }

    /// Whether a gateway listens on the socket.
    ///
    /// # Errors
    /// One may, but it is another user's.
    pub(super) async fn is_running(&self) -> Result<bool, Failure> {
        match UnixStream::connect(&self.socket).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(self.unreachable(&error)),
            Err(_) => Ok(false),
        }
    }

    /// Why there is no connection, and what to do about it.
    fn unreachable(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        Failure::new(match error.kind() {
            ErrorKind::PermissionDenied => format!(
                "{socket} is another user's ({error}); run this as the user that the gateway runs as, such as \
                 `sudo -u USER prx …`, or ask its API with a token"
            ),
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                format!("no gateway runs here ({socket}: {error}); start one with `prx serve`")
            }
            _ => format!("the gateway can't be reached ({socket}: {error})"),
        })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path, Payload::None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.send(Method::POST, path, Payload::Json(body)).await
    }

    /// Sends a request and returns the JSON of the answer, or null if it has none.
    pub(super) async fn send(&self, method: Method, path: &str, sent: Payload) -> Result<Value, Failure> {
        let answer = self.exchange(method, path, sent, "application/json").await?;
        let bytes = answer.into_body().collect().await.map_err(broken_answer)?.to_bytes();
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(broken_answer)
    }

    /// Sends a request and returns the events of the answer.
    pub(super) async fn stream(&self, method: Method, path: &str, sent: Payload) -> Result<Events, Failure> {
        let answer = self.exchange(method, path, sent, "text/event-stream").await?;
        Ok(Events { body: answer.into_body(), read: Vec::new() })
    }

    /// Has a file sent, and each piece of it taken.
    pub(super) async fn download(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut body = self.exchange(Method::GET, path, Payload::None, "*/*").await?.into_body();
        while let Some(frame) = body.frame().await.transpose().map_err(broken_answer)? {
            if let Ok(piece) = frame.into_data() {
                take(&piece)?;
            }
        }
        Ok(())
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        sent: Payload,
        accepted: &str,
    ) -> Result<Response<Incoming>, Failure> {
        let request =
            Request::builder().method(method).uri(path).header(HOST, "localhost").header(ACCEPT, accepted);
        let request = match sent {
            Payload::None => request.body(Full::default()),
            Payload::Json(json) => {
                let json = Bytes::from(json.to_string());
                request.header(CONTENT_TYPE, "application/json").body(Full::new(json))
            }
            Payload::Component(bytes) => {
                request.header(CONTENT_TYPE, "application/wasm").body(Full::new(bytes))
            }
        };
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken_answer)?;
        tokio::spawn(connection);
        let answer = sender.send_request(request.map_err(broken_answer)?).await.map_err(broken_answer)?;
        if answer.status().is_success() { Ok(answer) } else { Err(rejection(answer).await) }
    }
}

/// What the gateway says is wrong.
async fn rejection(answer: Response<Incoming>) -> Failure {
    let status = answer.status();
    let body = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let envelope: Value = serde_json::from_slice(&body).unwrap_or_default();
    match envelope["error"]["message"].as_str() {
        Some(message) => Failure::answered(message, &envelope["error"]),
        None => Failure::new(format!("the gateway answered {status}")),
    }
}

fn broken_answer(error: impl std::error::Error) -> Failure {
    Failure::new(format!("the gateway's answer broke off: {error}"))
}

/// A path with names from outside in its segments.
pub(super) fn path(segments: &[&str]) -> String {
    segments.iter().fold("/api/v1".to_owned(), |path, segment| format!("{path}/{}", encoded(segment)))
}

/// A text as a path segment or a query value.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Server-sent events as they come.
#[derive(Debug)]
pub(super) struct Events {
    body: Incoming,
    read: Vec<u8>,
}

impl Events {
    /// The next event's name and data; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<(String, Value)>, Failure> {
        loop {
            while let Some(end) = self.read.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.read.drain(..end + 2).collect();
                if let Some(event) = parse(&String::from_utf8_lossy(&event)) {
                    return Ok(Some(event));
                }
            }
            match self.body.frame().await.transpose().map_err(broken_answer)? {
                Some(frame) => self.read.extend(frame.into_data().unwrap_or_default()),
                None => return Ok(None),
            }
        }
    }
}

/// Comments have neither name nor data.
fn parse(event: &str) -> Option<(String, Value)> {
    let field = |name| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Some((field("event")?.to_owned(), serde_json::from_str(field("data")?).ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_from_outside_stay_in_their_segment() {
        assert_eq!(path(&["plugins", "a/b?c ü"]), "/api/v1/plugins/a%2Fb%3Fc%20%C3%BC");
    }

    #[test]
    fn an_event_is_its_name_and_its_data() {
        assert_eq!(parse("event: token\ndata: {\"a\":1}\n\n"), Some(("token".to_owned(), json!({"a": 1}))));
        assert_eq!(parse(": still here\n\n"), None);
    }
}
