//! A fake Bot API server: real HTTP on loopback, the platform's rules, and faults on demand.
//!
//! The rules it enforces: the token in the path; no `getUpdates` while a webhook is set; a newer `getUpdates`
//! ends an older one with 409; an offset confirms and drops what lies before it; texts of 1 to 4096 and captions of up
//! to 1024 UTF-16 units once their HTML is read; messages only to chats that have written to the bot; drafts only in
//! private ones; a webhook's address is https, and what it doesn't accept is brought again. Rich messages it knows only when
//! it is started so, as servers do from Bot API 10.1 on: of tags that are closed in order, and of no more blocks than there
//! may be.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

pub use self::hook::Delivery;
use self::hook::Hook;
use crate::server::Server;
use crate::wait::TEST_TIMEOUT;

mod api;
mod chat;
mod hook;
mod html;
mod media;
#[cfg(test)]
mod tests;
mod users;

/// The token the server knows its one bot by.
pub const TOKEN: &str = "7000001:canary-AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

/// A fake Bot API server with one bot. It ends with this value.
pub struct FakeTelegram {
    server: Server,
    bot: Arc<Bot>,
}

/// Something that goes wrong with the next call of a method.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The call is refused with this status and description.
    Refuse(u16, &'static str),
    /// The call is refused with 429 and these seconds to wait.
    TooMany(u64),
    /// Something in between answers with this status and a page of its own.
    Page(u16),
    /// The connection closes before anything was done.
    DropBefore,
    /// The call takes effect, then the connection closes without an answer.
    DropAfter,
    /// The call takes effect, its answer takes this long.
    Slow(Duration),
}

/// A call of a method, as it arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// Name of the method.
    pub method: String,
    /// Its parameters.
    pub parameters: Value,
    /// When it arrived.
    pub at: Instant,
    /// What it was answered; 0 for a connection closed instead, none while it is under way or its caller gone.
    pub status: Option<u16>,
}

/// A message that the bot has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The chat it went to.
    pub chat: i64,
    /// Its number.
    pub message: i64,
    /// What it says, as last edited.
    pub text: String,
    /// Whether it is a rich message, as last edited.
    pub rich: bool,
    /// The topic it went to.
    pub thread: Option<i64>,
    /// The buttons under it, null without.
    pub keyboard: Value,
    /// Its file as `{kind, name, content}`, null without.
    pub file: Value,
}

/// A draft that the bot has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The chat that saw it.
    pub chat: i64,
    /// The number it goes by.
    pub draft: i64,
    /// What it says.
    pub text: String,
    /// How many messages the bot had sent before.
    pub sent_before: usize,
}

struct Bot {
    state: Mutex<State>,
    /// Told of every change of the state.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    numbers: Numbers,
    waiting: VecDeque<Value>,
    chats: HashSet<i64>,
    webhook_gone: bool,
    /// It has the methods of Bot API 10.1.
    has_rich: bool,
    hook: Option<Hook>,
    deliveries: Vec<Option<u16>>,
    faults: HashMap<String, VecDeque<Fault>>,
    calls: Vec<Call>,
    sent: Vec<Sent>,
    drafts: Vec<Draft>,
    /// The commands of the bot's menu.
    menu: Value,
    /// Presses that wait to be acknowledged.
    presses: Vec<String>,
    /// What each file holds, by its id, which is its path too.
    files: HashMap<String, String>,
    broken_rules: Vec<String>,
}

#[derive(Default)]
struct Numbers {
    update: i64,
    message: i64,
    /// Every update below this one is confirmed.
    confirmed: i64,
    /// The poll that is entitled to an answer.
    poll: u64,
    overlapping_polls: u64,
    running_polls: u64,
}

impl FakeTelegram {
    /// Starts a server whose bot still has the webhook of an earlier life set.
    pub async fn start() -> Self {
        Self::start_with(State::default()).await
    }

    /// The same with rich messages.
    pub async fn start_with_rich_messages() -> Self {
        Self::start_with(State { has_rich: true, ..State::default() }).await
    }

    async fn start_with(mut state: State) -> Self {
        state.numbers.update = 100_000;
        state.numbers.message = 500;
        state.menu = Value::Array(Vec::new());
        let bot = Arc::new(Bot { state: Mutex::new(state), changed: watch::Sender::new(0) });
        Self { server: Server::start(Arc::clone(&bot)).await, bot }
    }

    /// The `[channels_config.telegram]` that leads here, with these users allowed.
    pub fn config(&self, allowed_users: &[&str]) -> String {
        format!(
            "[channels_config.telegram]\nbot_token = {TOKEN:?}\nallowed_users = {allowed_users:?}\napi_base = \
             \"http://{}\"\n",
            self.server.address
        )
    }

    /// Brings updates to the gateway here, as soon as the bot has a webhook and as long as the result lives.
    pub fn deliver_to(&self, gateway: SocketAddr) -> Delivery {
        Delivery::start(Arc::clone(&self.bot), gateway)
    }

    /// The next call of a method that has no fault yet meets this one.
    pub fn script(&self, method: &str, fault: Fault) {
        self.bot.state().faults.entry(method.into()).or_default().push_back(fault);
    }

    /// Waits until the state of the conversation gives an answer.
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

    /// Every call of a method so far.
    pub fn calls(&self, method: &str) -> Vec<Call> {
        self.bot.state().calls.iter().filter(|call| call.method == method).cloned().collect()
    }

    /// How many calls there were, of any method.
    pub fn call_count(&self) -> usize {
        self.bot.state().calls.len()
    }

    /// Every message the bot has sent, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.bot.state().sent.clone()
    }

    /// How many messages the bot has sent.
    pub fn sent_count(&self) -> usize {
        self.bot.state().sent.len()
    }

    /// The texts the bot has sent to a chat, in order.
    pub fn sent_to(&self, chat: i64) -> Vec<String> {
        self.sent().into_iter().filter(|sent| sent.chat == chat).map(|sent| sent.text).collect()
    }

    /// Every draft the bot has shown, in order.
    pub fn drafts(&self) -> Vec<Draft> {
        self.bot.state().drafts.clone()
    }

    /// How the gateway answered each call of its webhook; none where it did not.
    pub fn deliveries(&self) -> Vec<Option<u16>> {
        self.bot.state().deliveries.clone()
    }

    /// How many presses of buttons still wait to be acknowledged.
    pub fn waiting_presses(&self) -> usize {
        self.bot.state().presses.len()
    }

    /// Every update below this number is confirmed: the platform has forgotten it.
    pub fn confirmed(&self) -> i64 {
        self.bot.state().numbers.confirmed
    }

    /// The polls that began while another one was still running.
    pub fn overlapping_polls(&self) -> u64 {
        self.bot.state().numbers.overlapping_polls
    }

    /// What the bot's program did that the platform forbids, other than what a fault made it do.
    pub fn broken_rules(&self) -> Vec<String> {
        self.bot.state().broken_rules.clone()
    }
}

/// A short account for a failed test, without texts.
impl std::fmt::Debug for FakeTelegram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.bot.state();
        let last: Vec<_> = state.calls.iter().rev().take(8).map(|call| (&call.method, call.status)).collect();
        f.debug_struct("FakeTelegram")
            .field("updates", &state.numbers.update)
            .field("confirmed", &state.numbers.confirmed)
            .field("waiting", &state.waiting.len())
            .field("sent", &state.sent.len())
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
