//! Somewhere webhooks are delivered to: takes everything and remembers it.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hyper::Request;
use serde_json::Value;
use sha2::Sha256;

use crate::server::{Reply, Server, Service};
use crate::wait::until;

/// A receiver on loopback that answers 200, unless it is told otherwise. Before it is opened nobody listens at its URL.
pub struct Receiver {
    port: u16,
    server: Option<Server>,
    state: Arc<State>,
}

struct State {
    received: Mutex<Vec<Request<Bytes>>>,
    /// The status that it answers with.
    status: AtomicU16,
}

impl Default for State {
    fn default() -> Self {
        Self { received: Mutex::default(), status: AtomicU16::new(200) }
    }
}

/// What a receiver was sent.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The header `webhook-id`.
    pub id: String,
    /// The header `webhook-timestamp`.
    pub timestamp: String,
    /// The header `webhook-signature`.
    pub signature: String,
    /// The body, to the byte.
    pub body: String,
}

impl Receiver {
    /// One that isn't open yet.
    pub fn closed() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        Self { port: free.local_addr().unwrap().port(), server: None, state: Arc::default() }
    }

    /// One that is open.
    pub async fn start() -> Self {
        let mut receiver = Self::closed();
        receiver.open().await;
        receiver
    }

    /// Opens it.
    pub async fn open(&mut self) {
        self.server = Some(Server::start_at(self.port, Arc::clone(&self.state)).await);
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/webhook", self.port)
    }

    /// Has it answer with this status from now on.
    pub fn answer(&self, status: u16) {
        self.state.status.store(status, Ordering::Relaxed);
    }

    /// Everything it was sent, in order.
    pub fn received(&self) -> Vec<Webhook> {
        self.state.received.lock().unwrap().iter().map(Webhook::of).collect()
    }

    /// Everything it was sent, once that is so much.
    pub async fn until(&self, count: usize) -> Vec<Webhook> {
        until("webhooks to arrive", async || Some(self.received()).filter(|all| all.len() >= count)).await
    }
}

impl Service for State {
    async fn answer(&self, request: Request<Bytes>) -> Reply {
        self.received.lock().unwrap().push(request);
        Reply::Json(self.status.load(Ordering::Relaxed), "{}".into())
    }
}

impl Webhook {
    fn of(request: &Request<Bytes>) -> Self {
        let header = |name: &str| {
            let value = request.headers().get(name).unwrap_or_else(|| panic!("no {name}"));
            value.to_str().unwrap().to_owned()
        };
        Self {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            body: String::from_utf8(request.body().to_vec()).expect("a body in UTF-8"),
        }
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body in JSON")
    }

    /// What its signature must be under this key.
    pub fn signed(&self, key: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(format!("{}.{}.{}", self.id, self.timestamp, self.body).as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}
