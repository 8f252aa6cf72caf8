//! A WebSocket server on loopback whose side a test plays itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::wait::TEST_TIMEOUT;

/// A server that waits for sockets.
pub struct SocketServer {
    listener: TcpListener,
    accepted: AtomicUsize,
}

/// The server's end of an open socket. Dropping it cuts the connection.
pub struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// What the client asked for when it opened the socket: path and query.
    pub target: String,
    /// The `authorization` it came with.
    pub authorization: String,
}

impl SocketServer {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        Self { listener, accepted: AtomicUsize::new(0) }
    }

    /// Where it listens: `ws://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("ws://{}/", self.listener.local_addr().unwrap())
    }

    /// How many sockets were opened so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// The next socket that is opened.
    pub async fn accept(&self) -> Peer {
        timeout(TEST_TIMEOUT, self.next()).await.expect("a socket in time")
    }

    /// Whether nobody connects for a moment.
    pub async fn is_left_alone(&self, moment: Duration) -> bool {
        timeout(moment, self.listener.accept()).await.is_err()
    }

    async fn next(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let asked: Arc<Mutex<(String, String)>> = Arc::default();
        let record = asked.clone();
        #[allow(clippy::result_large_err, reason = "the library's own type")]
        let look = move |request: &Request, response: Response| {
            let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            let told = (request.uri().to_string(), authorization.unwrap_or_default().to_owned());
            *record.lock().unwrap() = told;
            Ok(response)
        };
        let socket = accept_hdr_async(stream, look).await.expect("a WebSocket handshake");
        self.accepted.fetch_add(1, Ordering::SeqCst);
        let (target, authorization) = asked.lock().unwrap().clone();
        Peer { socket, target, authorization }
    }
}

impl Peer {
    /// Sends a frame of JSON.
    pub async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    /// Sends a frame of text.
    pub async fn send_text(&mut self, text: &str) {
        self.try_send(Message::text(text)).await.expect("an open socket");
    }

    /// Sends a frame of bytes.
    pub async fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.try_send(Message::binary(bytes)).await.expect("an open socket");
    }

    /// Sends what need be no frame at all.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).await.unwrap();
    }

    /// Closes it with a code.
    pub async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "as the test says".into() };
        self.socket.close(Some(frame)).await.unwrap();
    }

    /// The next frame of JSON with this `op`; others are passed over, and beats are acknowledged meanwhile.
    pub async fn receive(&mut self, op: &str) -> Value {
        loop {
            let frame = self.next_json().await.unwrap_or_else(|code| panic!("closed ({code}) before {op}"));
            if frame["op"] == "beat" {
                self.send(json!({"op": "ack"})).await;
            }
            if frame["op"] == op {
                return frame;
            }
        }
    }

    /// The next frame of bytes.
    pub async fn receive_bytes(&mut self) -> Vec<u8> {
        loop {
            if let Message::Binary(bytes) = self.next().await.expect("an open socket") {
                return bytes.into();
            }
        }
    }

    /// The code that the other side closes with; what it still says is passed over. 0 if it just goes away.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next_json().await {
                return code;
            }
        }
    }

    async fn next_json(&mut self) -> Result<Value, u16> {
        loop {
            if let Message::Text(text) = self.next().await? {
                return Ok(serde_json::from_str(&text).expect("the component speaks JSON"));
            }
        }
    }

    async fn next(&mut self) -> Result<Message, u16> {
        match timeout(TEST_TIMEOUT, self.socket.next()).await.expect("a frame in time") {
            Some(Ok(Message::Close(frame))) => Err(frame.map_or(0, |frame| frame.code.into())),
            Some(Ok(message)) => Ok(message),
            _ => Err(0),
        }
    }

    async fn try_send(&mut self, message: Message) -> Result<(), String> {
        let sent =
            timeout(TEST_TIMEOUT, self.socket.send(message)).await.expect("what is sent to be taken in time");
        sent.map_err(|error| error.to_string())
    }
}
