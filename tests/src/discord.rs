//! A fake Discord: its REST API and its gateway on one port, the platform's rules, and faults on demand.
//!
//! The rules it enforces: the token in the `Authorization` header and in no other place than the frame that begins or
//! resumes a session; a `User-Agent` that names the bot; at most 2000 characters, nobody notified, a nonce on every
//! message; ten files with it at most, each named, of 10 MiB at most; no call in a bucket that is used up; sessions begun five seconds apart; at most 120 frames a minute;
//! nothing sent before the greeting; heartbeats that come in time and name the last event.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::gateway::{Connection, Order, Session};
use crate::server::Server;
use crate::wait::TEST_TIMEOUT;

pub mod gateway;
mod rest;

/// The token the server knows its one bot by.
pub const TOKEN: &str = "MTAwMDAwMDAwMDAwMDAwMDAw.Gcanary.kQp9vXw3sT6yB1nF8rJ2mL5dH7cZ4aVe";
/// The bot's own id, and its application's.
pub const BOT: &str = "900000000000000001";
const APPLICATION: &str = "900000000000000002";
/// What the platform's ids begin to count from in this server: 2026.
const FIRST_ID: u64 = 347_155_200_000 << 22;

/// A fake Discord with one bot. It ends with this value.
pub struct FakeDiscord {
    server: Server,
    bot: Arc<Bot>,
}

/// Something that goes wrong with the next call of a kind.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The call is refused with this status, code and message.
    Refuse(u16, u64, &'static str),
    /// The call is refused with 429 and these seconds to wait; in all, or in its bucket.
    TooMany(f64, bool),
    /// Something in between answers with this status and a page of its own.
    Page(u16),
    /// The connection closes before anything was done.
    DropBefore,
    /// The call takes effect, then the connection closes without an answer.
    DropAfter,
}

/// A REST call, as it arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// `send`, `edit`, `delete`, `react`, `typing`, `gateway`, `callback`, `answer`, `commands` or `set_commands`.
    pub kind: &'static str,
    /// Its path.
    pub path: String,
    /// Its body; of a form the message in it.
    pub body: Value,
    files: Vec<(String, String)>,
    /// When it arrived.
    pub at: Instant,
    /// What it was answered; 0 for a connection closed instead.
    pub status: Option<u16>,
}

/// A message that the bot has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The channel it went to.
    pub channel: u64,
    /// Its id.
    pub id: u64,
    /// What it says, as last edited.
    pub text: String,
    /// The name and the content of each of its files.
    pub files: Vec<(String, String)>,
}

struct Bot {
    state: Mutex<State>,
    /// Told of every change of the state.
    changed: watch::Sender<u64>,
    key: SigningKey,
}

#[derive(Default)]
struct State {
    last_id: u64,
    interval: Duration,
    address: String,
    session: Option<Session>,
    sessions_begun: Vec<Instant>,
    connections: Vec<Connection>,
    refuse_introduction: Option<u16>,
    rest: Rest,
    broken_rules: Vec<String>,
}

/// What happened over REST.
#[derive(Default)]
struct Rest {
    channels: BTreeMap<u64, ()>,
    faults: HashMap<&'static str, VecDeque<Fault>>,
    calls: Vec<Call>,
    /// The application's commands.
    commands: Value,
    sent: Vec<Sent>,
    nonces: HashMap<String, u64>,
    recognized: u64,
    /// Messages that a channel may be sent in a while, and how long that is.
    limit: Option<(usize, Duration)>,
}

impl FakeDiscord {
    /// Starts a server that wants a heartbeat every 45 seconds.
    pub async fn start() -> Self {
        Self::with_heartbeat(Duration::from_secs(45)).await
    }

    /// Starts a server that wants a heartbeat so often.
    pub async fn with_heartbeat(interval: Duration) -> Self {
        let rest = Rest { commands: json!([]), ..Rest::default() };
        let state = State { last_id: FIRST_ID, interval, rest, ..State::default() };
        let key = SigningKey::from_bytes(&[11; 32]);
        let bot = Arc::new(Bot { state: Mutex::new(state), changed: watch::Sender::new(0), key });
        let server = Server::start(Arc::clone(&bot)).await;
        bot.state().address = server.address.to_string();
        Self { server, bot }
    }

    /// The `[channels_config.discord]` that leads here, with these users allowed.
    pub fn config(&self, allowed_users: &[&str]) -> String {
        let key: String =
            self.bot.key.verifying_key().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "[channels_config.discord]\nbot_token = {TOKEN:?}\nallowed_users = {allowed_users:?}\napi_base = \
             \"http://{}/api/v10\"\npublic_key = {key:?}\n",
            self.server.address
        )
    }

    /// The channel in which a user and the bot are alone.
    pub fn channel_of(user: u64) -> u64 {
        5_000_000 + user
    }

    /// A user writes to the bot alone. The id of the message.
    pub fn write(&self, user: u64, text: &str) -> u64 {
        self.write_with(user, text, json!({}))
    }

    /// A user writes to the bot alone, in a message with further fields.
    pub fn write_with(&self, user: u64, text: &str, fields: Value) -> u64 {
        let mut state = self.bot.state();
        let id = state.next_id();
        let channel = Self::channel_of(user);
        state.rest.channels.insert(channel, ());
        let mut message = json!({
            "id": id.to_string(), "channel_id": channel.to_string(), "type": 0, "content": text,
            "author": {"id": user.to_string(), "username": format!("user{user}"), "global_name": null, "discriminator": "0"},
            "timestamp": "2026-01-02T03:04:05.678000+00:00", "edited_timestamp": null, "tts": false,
            "mention_everyone": false, "mentions": [], "mention_roles": [], "attachments": [], "embeds": [],
            "pinned": false, "flags": 0, "components": [], "channel_type": 1,
        });
        for (key, value) in fields.as_object().expect("fields") {
            message[key] = value.clone();
        }
        state.dispatch("MESSAGE_CREATE", message);
        self.bot.tell(state);
        id
    }

    /// A file as a message names it. There is every file but `gone.txt`.
    pub fn file(&self, name: &str, mime: &str) -> Value {
        let url = format!("http://{}/attachments/{name}?ex=1&is=2&hm=3", self.server.address);
        json!({
            "id": "1", "filename": name, "content_type": mime, "size": Self::content(name).len(),
            "url": url, "proxy_url": url,
        })
    }

    /// What is in a file of this name. A film is long.
    pub fn content(name: &str) -> String {
        format!("what is in {name}").repeat(if name.ends_with(".mkv") { 100 } else { 1 })
    }

    /// An event of the session, of any kind.
    pub fn dispatch(&self, event: &str, data: Value) {
        let mut state = self.bot.state();
        state.dispatch(event, data);
        self.bot.tell(state);
    }

    /// A text frame on the present connection, whatever it says.
    pub fn say(&self, text: impl Into<String>) {
        self.order(Order::Say(text.into()));
    }

    /// Closes the present connection with this code; without one it breaks.
    pub fn disconnect(&self, code: Option<u16>) {
        self.order(Order::Close(code));
    }

    /// The present connection stays open, but from now on nothing comes over it and nothing is heard.
    pub fn go_deaf(&self) {
        self.order(Order::GoDeaf);
    }

    /// Forgets the session: it can't be resumed.
    pub fn forget_session(&self) {
        self.bot.state().session = None;
    }

    /// Closes with this code when a session is next begun or resumed.
    pub fn refuse_introduction(&self, code: u16) {
        self.bot.state().refuse_introduction = Some(code);
    }

    /// From now on a channel takes so many messages in such a while.
    pub fn limit(&self, messages: usize, window: Duration) {
        self.bot.state().rest.limit = Some((messages, window));
    }

    /// The next call of a kind that has no fault yet meets this one.
    pub fn script(&self, kind: &'static str, fault: Fault) {
        self.bot.state().rest.faults.entry(kind).or_default().push_back(fault);
    }

    /// The headers under which the platform would post this body.
    pub fn sign(&self, body: &str) -> [(&'static str, String); 2] {
        let timestamp = "1774000000";
        let signature = self.bot.key.sign(format!("{timestamp}{body}").as_bytes());
        let signature = signature.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        [("x-signature-ed25519", signature), ("x-signature-timestamp", timestamp.to_owned())]
    }

    /// A slash command of this user's, as the platform posts or dispatches it.
    pub fn command(&self, user: u64, name: &str, argument: &str) -> Value {
        let mut state = self.bot.state();
        // Made now, for its id tells how long it can be answered.
        let since =
            std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() as u64 - 1_420_070_400_000;
        let id = (since << 22) + state.next_id() % (1 << 22);
        let channel = Self::channel_of(user);
        state.rest.channels.insert(channel, ());
        let option = json!({"name": "text", "type": 3, "value": argument});
        let options =
            Some(option).filter(|_| !argument.is_empty()).map_or_else(Vec::new, |option| vec![option]);
        json!({
            "id": id.to_string(), "application_id": APPLICATION, "type": 2, "token": format!("aW50{id}"),
            "version": 1, "channel_id": channel.to_string(), "user": {"id": user.to_string(), "username": "x"},
            "data": {"id": "1", "name": name, "type": 1, "options": options},
        })
    }

    fn order(&self, order: Order) {
        let mut state = self.bot.state();
        state.connections.last_mut().expect("a connection").orders.push_back(order);
        self.bot.tell(state);
    }

    /// Waits until the state of the platform gives an answer.
    ///
    /// # Panics
    /// When it gives none in time; the message says what was waited for.
    pub async fn until<T>(&self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changed = self.bot.changed.subscribe();
        let waiting = async {
            loop {
                if let Some(answer) = ask(self) {
                    return answer;
                }
                changed.changed().await.expect("the bot lives as long as its server");
            }
        };
        timeout(TEST_TIMEOUT, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}; {self:?}"))
    }

    /// Waits until a session is begun or resumed on the connection of this number, counted from 0.
    pub async fn listening(&self, connection: usize) {
        let what = format!("connection {connection} to listen");
        self.until(&what, |discord| discord.connections().get(connection)?.ready_at.map(|_| ())).await;
    }

    /// Every connection to the gateway, in order.
    pub fn connections(&self) -> Vec<Connection> {
        self.bot.state().connections.clone()
    }

    /// How many sessions were begun.
    pub fn sessions_begun(&self) -> usize {
        self.bot.state().sessions_begun.len()
    }

    /// Every REST call of a kind so far.
    pub fn calls(&self, kind: &str) -> Vec<Call> {
        self.bot.state().rest.calls.iter().filter(|call| call.kind == kind).cloned().collect()
    }

    /// How many REST calls there were, of any kind.
    pub fn call_count(&self) -> usize {
        self.bot.state().rest.calls.len()
    }

    /// Every message the bot has sent, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.bot.state().rest.sent.clone()
    }

    /// The texts the bot has sent to this user alone, in order.
    pub fn sent_to(&self, user: u64) -> Vec<String> {
        let channel = Self::channel_of(user);
        self.sent().into_iter().filter(|sent| sent.channel == channel).map(|sent| sent.text).collect()
    }

    /// Messages that were sent again and recognized by their nonce.
    pub fn recognized(&self) -> u64 {
        self.bot.state().rest.recognized
    }

    /// What the bot's program did that the platform forbids.
    pub fn broken_rules(&self) -> Vec<String> {
        self.bot.state().broken_rules.clone()
    }
}

/// A short account for a failed test, without texts.
impl std::fmt::Debug for FakeDiscord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.bot.state();
        let calls = state.rest.calls.iter().rev().take(8);
        let last: Vec<_> = calls.map(|call| (call.kind, &call.path, call.status)).collect();
        f.debug_struct("FakeDiscord")
            .field("session", &state.session.as_ref().map(|session| session.sequence()))
            .field("sessions_begun", &state.sessions_begun.len())
            .field("connections", &state.connections.len())
            .field("last_connection", &state.connections.last())
            .field("sent", &state.rest.sent.len())
            .field("broken_rules", &state.broken_rules)
            .field("last_calls_backwards", &last)
            .finish()
    }
}

impl Bot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn tell(&self, state: MutexGuard<'_, State>) {
        drop(state);
        self.changed.send_modify(|version| *version += 1);
    }
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1 << 22;
        self.last_id
    }

    fn broke(&mut self, rule: impl Into<String>) {
        self.broken_rules.push(rule.into());
    }

    /// An event for whoever has a session; without one it passes by.
    fn dispatch(&mut self, event: &str, data: Value) {
        if let Some(session) = &mut self.session {
            session.note(event, data);
        }
    }
}
