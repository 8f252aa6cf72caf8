//! Fake model servers: real HTTP on loopback, a vendor's rules and shapes, answers and faults as told.
//!
//! What it isn't told to answer it answers by itself, with words that repeat what was said last. It checks the key,
//! the path and the shape of every conversation.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Request};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::client::{Client, EventStream};
use crate::server::{Reply, Server, Service};
use crate::wait::until;

pub use self::dialect::{Call, Dialect};

mod anthropic;
mod dialect;
mod openai;
mod responses;

/// The key that a server takes.
pub const KEY: &str = "sk-canary-7Yq2vWc9TzLr4XnB8mKdPj3";

/// A fake model server. It ends with this value.
pub struct FakeModel {
    server: Server,
    state: Arc<State>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
    /// The same as it came.
    pub bytes: Bytes,
    /// When it arrived.
    pub at: Instant,
}

impl Asked {
    /// The parts of a request that a vendor reads in this order, as they came: the tools, the system prompt, and each message.
    pub fn parts(&self, dialect: Dialect) -> Vec<String> {
        let body: BTreeMap<String, &RawValue> = serde_json::from_slice(&self.bytes).unwrap();
        let messages: Vec<&RawValue> = serde_json::from_str(body[dialect.conversation].get()).unwrap();
        let before =
            ["tools", "system", "instructions"].map(|part| body.get(part).map_or("", |raw| raw.get()));
        // Where a vendor is told to keep what it has read is no part of that.
        let plain = |raw: &str| raw.replace(r#""cache_control":{"type":"ephemeral"},"#, "");
        before.into_iter().chain(messages.into_iter().map(RawValue::get)).map(plain).collect()
    }
}

/// An answer that a test gives piece by piece. Dropping it ends the answer as servers end one.
pub struct Live(mpsc::Sender<io::Result<Bytes>>);

/// What a model does with a request, where a test says how it thinks.
#[derive(Debug, Clone)]
pub enum Thought {
    /// It says this, as one piece.
    Says(String),
    /// It asks for these tools: id, name, arguments.
    Calls(Vec<(String, &'static str, Value)>),
    /// It refuses the request with this status and these words.
    Refuses(u16, String),
}

type Mind = Arc<dyn Fn(&Value) -> Thought + Send + Sync>;

enum Planned {
    /// A status, headers beyond the usual ones, and a body.
    Answer(u16, Vec<(&'static str, String)>, String),
    Stream(mpsc::Receiver<io::Result<Bytes>>),
    Silence,
    Drop,
}

struct State {
    dialect: Dialect,
    pace: Mutex<Duration>,
    mind: Mutex<Option<Mind>>,
    told: Mutex<VecDeque<Planned>>,
    models: Mutex<Option<Value>>,
    asked: Mutex<Vec<Asked>>,
    broken_rules: Mutex<Vec<String>>,
}

impl FakeModel {
    /// Starts a server that speaks like this vendor's.
    pub async fn start(dialect: Dialect) -> Self {
        let state = Arc::new(State {
            dialect,
            pace: Mutex::default(),
            mind: Mutex::default(),
            told: Mutex::default(),
            models: Mutex::default(),
            asked: Mutex::default(),
            broken_rules: Mutex::default(),
        });
        Self { server: Server::start(Arc::clone(&state)).await, state }
    }

    /// What has to be in `prx.toml` so that it answers, with these lines for its provider besides.
    pub fn config(&self, more: &str) -> String {
        let Dialect { provider, model, base, settings, .. } = self.state.dialect;
        format!(
            "[provider]\nname = {provider:?}\nmodel = {model:?}\n[providers_config.{provider}]\napi_key = \
             {KEY:?}\nbase_url = \"http://{}{base}\"\n{settings}\n{more}\n",
            self.server.address
        )
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The next request that nothing is told for is answered with this status, these headers and this body.
    pub fn refuse(&self, status: u16, headers: &[(&'static str, &str)], body: impl Into<String>) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.tell(Planned::Answer(status, headers, body.into()));
    }

    /// The next request that nothing is told for is answered with these events, whole.
    pub async fn answer(&self, events: Vec<String>) {
        let live = self.live();
        live.say(events.concat()).await;
    }

    /// The next request that nothing is told for gets the head of an answer, and then what the test says.
    pub fn live(&self) -> Live {
        let (sender, pieces) = mpsc::channel(1024);
        self.tell(Planned::Stream(pieces));
        Live(sender)
    }

    /// The next request that nothing is told for is never answered.
    pub fn be_silent(&self) {
        self.tell(Planned::Silence);
    }

    /// At the next request that nothing is told for the connection closes.
    pub fn hang_up(&self) {
        self.tell(Planned::Drop);
    }

    /// How long it takes from one piece to the next when it answers by itself.
    pub fn pace(&self, pause: Duration) {
        *self.state.pace.lock().unwrap() = pause;
    }

    /// From now on it does this with the body of each request that nothing is told for.
    pub fn think(&self, mind: impl Fn(&Value) -> Thought + Send + Sync + 'static) {
        *self.state.mind.lock().unwrap() = Some(Arc::new(mind));
    }

    /// From now on it answers with this to who wants its list of models. Until then it has none.
    pub fn list(&self, models: Value) {
        *self.state.models.lock().unwrap() = Some(models);
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Waits until there were so many requests.
    pub async fn until_asked(&self, count: usize) -> Vec<Asked> {
        until("the model to be asked", async || Some(self.asked()).filter(|all| all.len() >= count)).await
    }

    /// Waits until there were so many requests. What the last of them says: the words of the conversation's last message.
    pub async fn until_told(&self, count: usize) -> String {
        let asked = self.until_asked(count).await;
        let last = asked[count - 1].body[self.state.dialect.conversation]
            .as_array()
            .and_then(|messages| messages.last());
        last.expect("a message")["content"].to_string().replace("\\n", "\n")
    }

    /// Which vendor's server it is like.
    pub fn dialect(&self) -> Dialect {
        self.state.dialect
    }

    /// Asks it directly, as its plugin would.
    pub async fn open(&self) -> EventStream {
        let (header, key) = (self.state.dialect.key)();
        let request = Request::post(self.state.dialect.path)
            .header("host", self.server.address.to_string())
            .header("anthropic-version", "2023-06-01")
            .header(header, key);
        let body = (self.state.dialect.ask)("Hello").to_string();
        Client::new(self.server.address, None).events(request, body.into()).await
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// What a request did that the vendor forbids.
    pub fn broken_rules(&self) -> Vec<String> {
        self.state.broken_rules.lock().unwrap().clone()
    }

    fn tell(&self, told: Planned) {
        self.state.told.lock().unwrap().push_back(told);
    }
}

impl Live {
    /// Sends these bytes, as one piece. False: the caller is gone.
    pub async fn say(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.send(Ok(bytes.into())).await.is_ok()
    }

    /// Closes the connection in the middle of the answer.
    pub async fn break_off(self) {
        let _ = self.0.send(Err(io::ErrorKind::ConnectionReset.into())).await;
    }

    /// Waits until the caller is gone.
    pub async fn until_unheard(&self) {
        self.0.closed().await;
    }
}

impl State {
    fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap()
    }

    /// Does what it thinks, or says back what was said last, word by word.
    fn by_itself(&self, body: &Value) -> Reply {
        let dialect = self.dialect;
        let mind = self.mind.lock().unwrap().clone();
        let events = match mind.map(|mind| mind(body)) {
            Some(Thought::Says(text)) => (dialect.words)(&[&text]),
            Some(Thought::Calls(calls)) => {
                let calls: Vec<Call<'_>> =
                    calls.iter().map(|(id, name, arguments)| (&**id, *name, arguments.clone())).collect();
                (dialect.calls)(&calls)
            }
            Some(Thought::Refuses(status, words)) => return Reply::Json(status, (dialect.refusal)(&words)),
            None => {
                let answer = format!("You said: {}", (dialect.said_last)(body));
                (dialect.words)(&answer.split_inclusive(' ').collect::<Vec<_>>())
            }
        };
        let (sender, pieces) = mpsc::channel(1);
        let pace = *self.pace.lock().unwrap();
        tokio::spawn(async move {
            for event in events {
                sleep(pace).await;
                if sender.send(Ok(event.into())).await.is_err() {
                    return;
                }
            }
        });
        events_of(pieces)
    }
}

impl Service for State {
    async fn answer(&self, request: Request<Bytes>) -> Reply {
        let (head, bytes) = request.into_parts();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let models = self.models.lock().unwrap().clone();
        let models = models.filter(|_| head.method == "GET" && head.uri.path() == "/v1/models");
        if models.is_none() && (head.method.as_str(), head.uri.path()) != ("POST", self.dialect.path) {
            return Reply::Json(404, String::new());
        }
        let (header, value) = (self.dialect.key)();
        if head.headers.get(header).is_none_or(|given| given != value.as_str()) {
            return Reply::Json(401, (self.dialect.refusal)("wrong key"));
        }
        if let Some(models) = models {
            return Reply::Json(200, models.to_string());
        }
        if let Err(rule) = (self.dialect.check)(&head.headers, &body) {
            self.broken_rules.lock().unwrap().push(rule.clone());
            return Reply::Json(400, (self.dialect.refusal)(&rule));
        }
        self.asked().push(Asked { headers: head.headers, body: body.clone(), bytes, at: Instant::now() });
        let told = self.told.lock().unwrap().pop_front();
        match told {
            Some(Planned::Answer(status, headers, body)) => Reply::Headed(status, headers, body),
            Some(Planned::Stream(pieces)) => events_of(pieces),
            Some(Planned::Silence) => std::future::pending().await,
            Some(Planned::Drop) => Reply::Drop,
            None => self.by_itself(&body),
        }
    }
}

fn events_of(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Reply {
    Reply::Stream(vec![("content-type", "text/event-stream; charset=utf-8".to_owned())], pieces)
}
