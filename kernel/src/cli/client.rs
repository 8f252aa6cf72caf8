//! The API of a gateway: over the socket in its data directory, or of one elsewhere over the network.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::net::UnixStream;

use super::failure::Failure;
use super::remote::Remote;
use prx_http::SOCKET;

/// What is escaped: all but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The body of an answer, or why it broke off.
type Body = UnsyncBoxBody<Bytes, String>;

/// A client of a gateway.
pub(super) struct Client(Place);

/// Where it is.
enum Place {
    /// It listens on this socket.
    Here(PathBuf),
    Elsewhere(Box<Remote>),
}

/// What goes with a request.
#[derive(Debug)]
pub(super) enum Payload {
    None,
    Json(Value),
    Component(Bytes),
}

impl Client {
    /// The gateway that runs on a data directory.
    pub(super) fn here(data_dir: &Path) -> Self {
        Self(Place::Here(data_dir.join(SOCKET)))
    }

    /// One that is reached over the network.
    pub(super) fn elsewhere(remote: Remote) -> Self {
        Self(Place::Elsewhere(Box::new(remote)))
    }

    /// Whether there is a gateway: whether one listens on the socket. One elsewhere has to be there.
    ///
    /// # Errors
    /// One may listen, but it is another user's. None can be reached elsewhere.
    pub(super) async fn is_running(&self) -> Result<bool, Failure> {
        match &self.0 {
            Place::Here(socket) => match UnixStream::connect(socket).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(unreachable(socket, &error)),
                Err(_) => Ok(false),
            },
            Place::Elsewhere(remote) => remote.meet().await.map(|()| true),
        }
    }

    /// Whether it is the one that works on this machine's files.
    pub(super) fn is_here(&self) -> bool {
        matches!(self.0, Place::Here(_))
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
    ) -> Result<Response<Body>, Failure> {
        let (kind, body) = match sent {
            Payload::None => (None, Bytes::new()),
            Payload::Json(json) => (Some("application/json"), Bytes::from(json.to_string())),
            Payload::Component(bytes) => (Some("application/wasm"), bytes),
        };
        let kind = kind.map(|kind| (CONTENT_TYPE.as_str(), kind));
        let headers: Vec<_> = [(ACCEPT.as_str(), accepted)].into_iter().chain(kind).collect();
        let answer = match &self.0 {
            Place::Here(socket) => over(socket, method, path, &headers, body).await?,
            Place::Elsewhere(remote) => {
                let answer = remote.send(method, path, headers, body).await?;
                answer.map(|body| body.map_err(|failure| failure.reason).boxed_unsync())
            }
        };
        if answer.status().is_success() { Ok(answer) } else { Err(self.rejection(answer).await) }
    }

    /// What the gateway says is wrong.
    async fn rejection(&self, answer: Response<Body>) -> Failure {
        let status = answer.status();
        let body = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let envelope: Value = serde_json::from_slice(&body).unwrap_or_default();
        match (&self.0, envelope["error"]["message"].as_str()) {
            (Place::Elsewhere(remote), _) => remote.refusal(status, &envelope["error"]),
            (_, Some(message)) => Failure::answered(message, &envelope["error"]),
            _ => Failure::new(format!("the gateway answered {status}")),
        }
    }
}

/// One request over a socket.
async fn over(
    socket: &Path,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Response<Body>, Failure> {
    let mut request = Request::builder().method(method).uri(path).header(HOST, "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).map_err(broken_answer)?;
    let stream = UnixStream::connect(socket).await.map_err(|error| unreachable(socket, &error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken_answer)?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken_answer)?;
    Ok(answer.map(|body| body.map_err(|error| error.to_string()).boxed_unsync()))
}

/// Why there is no connection, and what to do about it.
fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    let socket = socket.display();
    Failure::new(match error.kind() {
        ErrorKind::PermissionDenied => format!(
            "{socket} is another user's ({error}); run this as the user that the gateway runs as, such as \
             `sudo -u USER prx …`, or ask its API with a token: prx --url URL --token TOKEN"
        ),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!("no gateway runs here ({socket}: {error}); start one with `prx serve`")
        }
        _ => format!("the gateway can't be reached ({socket}: {error})"),
    })
}

fn broken_answer(error: impl Display) -> Failure {
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
pub(super) struct Events {
    body: Body,
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
