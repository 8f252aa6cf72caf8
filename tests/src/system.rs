//! Any system that talks to the agent by webhooks: it posts signed messages and takes replies.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hyper::{Method, Request};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::watch;

use crate::client::{Answer, Client};
use crate::server::{Reply, Server, Service};
use crate::wait::until;

/// What the system shows with its messages' signatures.
pub const SECRET: &str = "canary-secret-of-the-system";
/// What shows that a reply comes from the gateway.
pub const TOKEN: &str = "canary-token-for-replies";

/// A system with one place for replies. It ends with this value.
pub struct System {
    server: Server,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    replies: Mutex<Vec<Value>>,
    faults: Mutex<VecDeque<(u16, &'static str)>>,
    held: watch::Sender<bool>,
    posted: AtomicUsize,
}

impl System {
    /// Starts one.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        Self { server: Server::start(Arc::clone(&state)).await, state }
    }

    /// Where replies are posted.
    pub fn reply_url(&self) -> String {
        format!("http://{}/replies", self.server.address)
    }

    /// The channel of this name that leads here.
    pub fn config(&self, name: &str) -> String {
        format!(
            "[channels_config.{name}]\nplugin = \"webhook\"\nsecret = {SECRET:?}\nreply_url = {:?}\nreply_token = \
             {TOKEN:?}\n",
            self.reply_url()
        )
    }

    /// The next reply is answered with this status, and to be tried again after so many seconds.
    pub fn refuse(&self, status: u16, retry_after: &'static str) {
        self.state.faults.lock().unwrap().push_back((status, retry_after));
    }

    /// Whether replies that are posted wait for their answers, and are not taken before they get them.
    pub fn hold(&self, held: bool) {
        self.state.held.send_replace(held);
    }

    /// Returns once replies were posted so often, taken or not.
    pub async fn posted(&self, count: usize) {
        until("replies to be posted", async || (self.state.posted.load(SeqCst) >= count).then_some(())).await;
    }

    /// Every reply so far that was taken, with the `authorization` that it came with.
    pub fn replies(&self) -> Vec<Value> {
        self.state.replies.lock().unwrap().clone()
    }

    /// The replies, once there are so many.
    pub async fn until(&self, count: usize) -> Vec<Value> {
        until("replies to arrive", async || Some(self.replies()).filter(|all| all.len() >= count)).await
    }
}

/// A request that posts a message to a channel, signed with a secret at a second.
pub fn signed(
    client: &Client,
    channel: &str,
    id: &str,
    (secret, at): (&str, u64),
    body: &str,
) -> hyper::http::request::Builder {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    client
        .bare(Method::POST, &format!("/in/{channel}"))
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at)
        .header("webhook-signature", format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Posts a message as the system does.
///
/// # Errors
/// No whole answer came.
pub async fn post(client: &Client, channel: &str, id: &str, message: &Value) -> io::Result<Answer> {
    let (client, body) = (client.with_token(None), message.to_string());
    let request = signed(&client, channel, id, (SECRET, now()), &body);
    client.try_send(request, body.into()).await
}

/// The time, in Unix seconds.
#[expect(clippy::disallowed_methods, reason = "the gateway under test lives in the same time")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

impl Service for State {
    async fn answer(&self, request: Request<Bytes>) -> Reply {
        self.posted.fetch_add(1, SeqCst);
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        if let Some((status, retry_after)) = self.faults.lock().unwrap().pop_front() {
            return Reply::Headed(status, vec![("retry-after", retry_after.to_owned())], String::new());
        }
        let mut reply: Value = serde_json::from_slice(request.body()).expect("a reply in JSON");
        let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        reply["authorization"] = authorization.into();
        self.replies.lock().unwrap().push(reply);
        Reply::Json(200, String::new())
    }
}

/// The HMAC-SHA256 of a text under this key, in hexadecimal digits, as many platforms sign.
pub fn hex_hmac(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
