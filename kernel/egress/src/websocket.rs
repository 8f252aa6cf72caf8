//! WebSockets: opened under the same rules as requests; what comes in is bounded and scrubbed of secrets.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::header::{self, HeaderValue};
use hyper::http;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::connect::{Connector, Wire};
use super::failure::{Failure, Kind};
use super::origin::Origin;
use super::policy::Policy;
use super::pool::Key;
use super::render::{join, upgrade};
use super::request::Segment;
use super::scrub::Patterns;

/// The largest frame that is taken, in bytes.
const MAX_FRAME_BYTES: usize = 1 << 20;
/// The largest message that is taken, and sent: of one frame or of many, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Bytes that may wait to be written: a message, and what is sent besides it.
const MAX_UNSENT_BYTES: usize = 2 * MAX_MESSAGE_BYTES;
/// Bytes that are read or written at a time.
const BUFFER_BYTES: usize = 16 << 10;
/// The longest handshake timeout, whatever is asked for: 60 seconds.
const MAX_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// What to open.
#[derive(Debug)]
pub struct Upgrade {
    /// A ws or wss URL. Secrets may stand after the host only.
    pub url: Vec<Segment>,
    /// Everything but what belongs to the connection and the handshake.
    pub headers: Vec<(String, Vec<Segment>)>,
    /// How long everything up to the open socket may take.
    pub timeout: Duration,
}

/// A message to send, its secrets put in. A clone shares the bytes.
#[derive(Clone)]
pub struct Payload(Message);

/// A message that came. Secrets in it read `***REDACTED***`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Text.
    Text(String),
    /// Anything.
    Binary(Vec<u8>),
}

/// What happened on a socket.
#[derive(Debug)]
pub enum Progress {
    /// All that was queued has been written.
    Written,
    /// A message came.
    Frame(Frame),
    /// The other side closed it, with a code and a reason if it gave any.
    Closed(Option<u16>, String),
}

/// An open WebSocket. Dropping it closes the connection without a word.
pub struct WebSocket {
    stream: WebSocketStream<Wire>,
    origin: Origin,
    secrets: Option<Arc<Patterns>>,
    behind: bool,
}

impl Payload {
    /// Joins the pieces of a message: a text, unless one of them is bytes.
    ///
    /// # Errors
    /// A secret in it is not granted, or it is too large.
    pub fn render(segments: &[Segment], policy: &Policy) -> Result<Self, Failure> {
        let (bytes, _) = join(segments, policy.secrets()).map_err(Failure::denied)?;
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(Failure::denied(format!("the message is larger than {MAX_MESSAGE_BYTES} bytes")));
        }
        let is_text = !segments.iter().any(|segment| matches!(segment, Segment::Bytes(_)));
        let bytes = Bytes::from(bytes);
        Ok(Self(match Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) if is_text => Message::Text(text),
            _ => Message::Binary(bytes),
        }))
    }
}

impl WebSocket {
    pub(super) async fn open(
        connector: &Connector,
        policy: &Policy,
        Upgrade { url, headers, timeout }: Upgrade,
    ) -> Result<Self, Failure> {
        let deadline = Instant::now() + timeout.min(MAX_HANDSHAKE_TIMEOUT);
        let (origin, mut request) = upgrade(&url, &headers, policy.secrets())?;
        let key = Key { private: policy.admit(&origin)?, origin: origin.clone() };
        complete(&origin, &mut request)?;
        let wire = connector.connect(&key, deadline).await?;
        let secrets = Patterns::of(policy.secrets());
        match timeout_at(deadline, client_async_with_config(request, wire, Some(limits()))).await {
            Ok(Ok((stream, _))) => Ok(Self { stream, origin, secrets, behind: false }),
            Ok(Err(error)) => Err(broken(&origin, error)),
            Err(_) => Err(Failure::sent(Kind::Timeout, &origin, "no WebSocket in time")),
        }
    }

    /// Queues a message; [`WebSocket::advance`] writes it.
    ///
    /// # Errors
    /// The other side has not taken what came before, or is gone.
    pub fn queue(&mut self, payload: &Payload) -> Result<(), Failure> {
        self.behind = true;
        self.stream.start_send_unpin(payload.0.clone()).map_err(|error| broken(&self.origin, error))
    }

    /// Whether something is still to be written.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Writes what is queued, answers pings, and where `read` says so waits for the next message. Can be given up
    /// and called again at any time.
    ///
    /// # Errors
    /// The socket broke, or the other side does not keep to the protocol or to the bounds. It is over then.
    pub async fn advance(&mut self, read: bool) -> Result<Progress, Failure> {
        let message = poll_fn(|cx| {
            loop {
                if self.behind {
                    match self.stream.poll_flush_unpin(cx) {
                        Poll::Ready(Ok(())) => {
                            self.behind = false;
                            return Poll::Ready(Ok(None));
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => {}
                    }
                }
                if !read {
                    return Poll::Pending;
                }
                match self.stream.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(Message::Ping(_)))) => self.behind = true,
                    Poll::Ready(Some(Ok(Message::Pong(_) | Message::Frame(_)))) => {}
                    Poll::Ready(Some(message)) => return Poll::Ready(message.map(Some)),
                    Poll::Ready(None) => return Poll::Ready(Err(Error::ConnectionClosed)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        match message.await {
            Ok(None) => Ok(Progress::Written),
            Ok(Some(message)) => Ok(self.progress(message)),
            Err(error) => Err(broken(&self.origin, error)),
        }
    }

    /// Closes with a code, after what is queued, and waits within a timeout for the other side to close, too. A code that may
    /// not be sent is left out.
    pub async fn close(mut self, code: u16, wait: Duration) {
        let code = Some(CloseCode::from(code)).filter(|code| code.is_allowed());
        let frame = code.map(|code| CloseFrame { code, reason: Utf8Bytes::default() });
        let closing = async {
            // It may be closed or broken already.
            let _ = self.stream.send(Message::Close(frame)).await;
            while let Some(Ok(_)) = self.stream.next().await {}
        };
        // A peer that does not answer in time is disconnected.
        let _ = timeout(wait, closing).await;
    }

    fn progress(&self, message: Message) -> Progress {
        match message {
            Message::Text(text) => Progress::Frame(Frame::Text(self.text(&text))),
            Message::Binary(bytes) => Progress::Frame(Frame::Binary(match self.found_in(&bytes) {
                Some(secrets) => secrets.scrub(&bytes),
                None => bytes.into(),
            })),
            Message::Close(Some(frame)) => {
                Progress::Closed(Some(frame.code.into()), self.text(&frame.reason))
            }
            _ => Progress::Closed(None, String::new()),
        }
    }

    fn text(&self, text: &str) -> String {
        match self.found_in(text.as_bytes()) {
            Some(secrets) => String::from_utf8_lossy(&secrets.scrub(text.as_bytes())).into_owned(),
            None => text.to_owned(),
        }
    }

    fn found_in(&self, text: &[u8]) -> Option<&Arc<Patterns>> {
        self.secrets.as_ref().filter(|secrets| secrets.are_in(text))
    }
}

/// Adds what makes a request ask for a WebSocket.
fn complete(origin: &Origin, request: &mut http::Request<()>) -> Result<(), Failure> {
    let key = HeaderValue::try_from(generate_key())
        .map_err(|error| Failure::unsent(Kind::Protocol, origin, error))?;
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_KEY, key);
    Ok(())
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(MAX_UNSENT_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES))
}

fn broken(origin: &Origin, error: Error) -> Failure {
    let closed = |reason: &str| Failure::sent(Kind::Closed, origin, reason);
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => closed("the connection ended"),
        Error::Io(error) => closed(&error.to_string()),
        Error::WriteBufferFull(_) => closed("it does not take what is sent to it"),
        Error::Capacity(error) => Failure::sent(Kind::TooLarge, origin, error),
        Error::Http(response) => {
            let reason = format!("it answered {} instead of opening a WebSocket", response.status());
            Failure::sent(Kind::Protocol, origin, reason)
        }
        error => Failure::sent(Kind::Protocol, origin, error),
    }
}
