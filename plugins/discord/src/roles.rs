//! The role that the platform makes for the bot in each server: the picker offers it under the bot's own name, so who
//! mentions it speaks to the bot. Which one it is, is asked for when a message first mentions a role.

use prx_sdk::connector::{Commands, Context, HttpOutcome, LogLevel, Token};
use serde::{Deserialize, Serialize};

use crate::call;
use crate::config::Config;
use crate::message::{Message, is_id};
use crate::receive;
use crate::state::State;

/// How long the answer is used, in milliseconds: a bot that leaves and comes back has another role.
const MAX_AGE_MS: u64 = 3_600_000;
/// How long to wait after a failure before it is asked for again, in milliseconds.
const FAILURE_PAUSE_MS: u64 = 60_000;
/// Most servers that are remembered.
const MAX_SERVERS: usize = 256;
/// Most messages that wait for an answer.
const MAX_WAITING: usize = 16;

/// What is known of the bot's own roles.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Roles {
    known: Vec<Known>,
    /// The messages that wait for an answer, each with the request that it waits for.
    waiting: Vec<(Token, String, String)>,
}

/// The bot's own role in one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    server: String,
    /// None: it has none there.
    role: Option<String>,
    /// Until when this is used, in Unix milliseconds.
    until: u64,
}

#[derive(Deserialize)]
struct Role {
    id: String,
    #[serde(default)]
    tags: Tags,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tags {
    bot_id: Option<String>,
}

impl Roles {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.waiting.is_empty()
    }

    /// Whether one of these roles is the bot's own in this server. None: that has to be asked for.
    pub(crate) fn is_own(&self, now: u64, server: &str, roles: &[String]) -> Option<bool> {
        if roles.is_empty() {
            return Some(false);
        }
        let known = self.known(now, server)?;
        Some(known.role.as_ref().is_some_and(|own| roles.contains(own)))
    }

    /// The bot's own role in this server, as far as that is known.
    pub(crate) fn own(&self, now: u64, server: &str) -> Option<&str> {
        self.known(now, server)?.role.as_deref()
    }

    fn known(&self, now: u64, server: &str) -> Option<&Known> {
        self.known.iter().find(|known| known.server == server && known.until > now)
    }

    fn learn(&mut self, server: String, role: Option<String>, until: u64) {
        self.known.retain(|known| known.server != server);
        if self.known.len() >= MAX_SERVERS {
            self.known.remove(0);
        }
        self.known.push(Known { server, role, until });
    }

    /// Whether this token is that of a request of its own.
    pub(crate) fn asks(&self, token: Token) -> bool {
        self.waiting.iter().any(|(asked, ..)| *asked == token)
    }
}

/// Keeps a message until it is known which role is the bot's. Too many at once are not waited for.
pub(crate) fn ask(cx: &Context<Config>, state: &mut State, server: &str, raw: &str, out: &mut Commands) {
    if state.roles.waiting.len() >= MAX_WAITING || state.cooldown.left(cx.now).is_some() {
        return out.log(
            LogLevel::Warn,
            "a message that mentions a role is ignored: which one is the bot's can't be asked for now",
        );
    }
    let asked = state.roles.waiting.iter().find(|(_, asked, _)| asked == server).map(|(token, ..)| *token);
    let token = asked.unwrap_or_else(|| request(cx, state, server, out));
    state.roles.waiting.push((token, server.to_owned(), raw.to_owned()));
}

/// Asks again for what was being asked for, but for the requests that are still open.
pub(crate) fn resume(cx: &Context<Config>, state: &mut State, in_flight: &[Token], out: &mut Commands) {
    let mut lost: Vec<_> =
        state.roles.waiting.iter().map(|(token, server, _)| (*token, server.clone())).collect();
    lost.sort_unstable();
    lost.dedup();
    lost.retain(|(token, _)| !in_flight.contains(token));
    for (token, server) in lost {
        let again = request(cx, state, &server, out);
        let waiting = state.roles.waiting.iter_mut().filter(|(asked, ..)| *asked == token);
        waiting.for_each(|(asked, ..)| *asked = again);
    }
}

fn request(cx: &Context<Config>, state: &mut State, server: &str, out: &mut Commands) -> Token {
    let token = state.token();
    let call = call::authorized(&cx.config, "GET", &format!("/guilds/{server}/roles"));
    out.http(call.token(token).timeout(call::CALL_TIMEOUT));
    token
}

/// The answer came, or none: the messages that waited for it are looked at once more.
pub(crate) fn answered(
    cx: &Context<Config>,
    state: &mut State,
    (token, outcome): (Token, &HttpOutcome),
    out: &mut Commands,
) {
    let waited: Vec<_> = state.roles.waiting.extract_if(.., |(asked, ..)| *asked == token).collect();
    let Some((_, server, _)) = waited.first() else { return };
    let (role, age) = match call::answer(outcome) {
        Ok(response) => match response.json::<Vec<Role>>() {
            Ok(roles) => (own(roles, &state.me.id), MAX_AGE_MS),
            Err(_) => (None, FAILURE_PAUSE_MS),
        },
        Err(failure) => {
            out.log(
                LogLevel::Warn,
                format!("which role in server {server} is the bot's is not known: {failure}"),
            );
            (None, FAILURE_PAUSE_MS)
        }
    };
    state.roles.learn(server.clone(), role, cx.now.saturating_add(age));
    for (_, _, raw) in &waited {
        if let Ok(message) = serde_json::from_str::<Message>(raw) {
            receive::message(cx, state, (message, raw), out);
        }
    }
}

fn own(roles: Vec<Role>, me: &str) -> Option<String> {
    let mut own = roles.into_iter().filter(|role| role.tags.bot_id.as_deref() == Some(me) && is_id(&role.id));
    own.next().map(|role| role.id)
}
