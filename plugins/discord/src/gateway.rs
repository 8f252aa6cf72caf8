//! The connection to the gateway: how it comes about, and how it comes back.

use std::time::Duration;

use prx_sdk::connector::{
    Commands, Context, Http, HttpOutcome, LogLevel, Resumed, Socket, SocketClosed, SocketOpened, Status,
    Token,
};

use crate::api::{Failure, GatewayBot, SHUT_OUT};
use crate::call;
use crate::close::{self, Next};
use crate::config::Config;
use crate::link::{Link, Stage};
use crate::state::State;

/// Closes so that the session can be taken up again.
pub(crate) const KEEP_SESSION: u16 = 4000;
/// Closes and ends the session.
const END_SESSION: u16 = 1000;
/// Most failures to resume a session before a new one begins.
const MAX_RESUMES: u32 = 2;
/// Timeout for the socket to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout for the platform's HELLO on an open socket.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest wait after the first refusal of a token that worked before, in milliseconds.
const MIN_REFUSED_WAIT_MS: u64 = 30_000;
/// The longest wait after any of them, in milliseconds.
const MAX_REFUSED_WAIT_MS: u64 = 900_000;

const REFUSED_NOW: &str = "the platform does not accept the token any more";
const NOBODY_ALLOWED: &str = "allowed_users is empty, so everyone is refused: \
    list user ids or usernames there, or \"*\" for everyone";

/// Starts from the beginning, whatever was before; a session that is left is taken up again.
pub(crate) fn begin(cx: &Context<Config>, state: &mut State, out: &mut Commands) {
    hang_up(state, KEEP_SESSION, out);
    if cx.config.refuses_everyone() {
        out.status(Status::Failed(NOBODY_ALLOWED.to_owned()));
        return;
    }
    out.status(Status::Connecting);
    proceed(cx, state, out);
}

/// New code takes over: goes on with what is open, if it is.
pub(crate) fn resumed(cx: &Context<Config>, state: &mut State, resumed: &Resumed, out: &mut Commands) {
    for (socket, _) in resumed.sockets.iter().filter(|(socket, _)| !state.link.is_open(*socket)) {
        out.ws_close(*socket, KEEP_SESSION);
    }
    if !state.link.lives_in(resumed) {
        begin(cx, state, out);
    }
}

/// Closes for a while, or for good.
pub(crate) fn stop(state: &mut State, for_good: bool, out: &mut Commands) {
    if for_good {
        state.session = None;
        hang_up(state, END_SESSION, out);
    } else {
        hang_up(state, KEEP_SESSION, out);
    }
}

/// The API was asked where the gateway is.
pub(crate) fn answered(cx: &Context<Config>, state: &mut State, outcome: &HttpOutcome, out: &mut Commands) {
    match call::answer(outcome) {
        Ok(response) => match response.json::<GatewayBot>() {
            Ok(said) if !said.url.is_empty() => {
                state.token_worked = true;
                state.starts.learn(cx.now, &said);
                proceed(cx, state, out);
            }
            _ => failed(cx, state, "the API's answer names no gateway", out),
        },
        Err(Failure::Token(reason)) if state.token_worked => {
            let failures = state.link.attempts.failures;
            state.link.attempts.failures = failures.saturating_add(1);
            let longest = MIN_REFUSED_WAIT_MS.saturating_mul(1 << failures.min(8)).min(MAX_REFUSED_WAIT_MS);
            let after = Duration::from_millis(cx.random_between(longest * 2 / 3, longest));
            let why = format!("{REFUSED_NOW} ({reason}): if it was reset, set bot_token to the new one");
            wait_as_told(state, after, &why, out);
        }
        Err(Failure::Token(reason)) => {
            give_up(state, &format!("{} ({reason})", close::BAD_TOKEN), out);
        }
        Err(Failure::RateLimited { after, .. }) => {
            wait_as_told(state, after, "the platform asks to slow down", out);
        }
        Err(Failure::ShutOut(_)) => ask(cx, state, out),
        Err(failure) => failed(cx, state, &failure.to_string(), out),
    }
}

/// A timer rang: the wait is over, or a stage took too long.
pub(crate) fn rang(cx: &Context<Config>, state: &mut State, token: Token, out: &mut Commands) {
    let link = &state.link;
    match link.stage {
        Stage::Wait if link.token == token => proceed(cx, state, out),
        Stage::Connect if link.overdue == token => {
            out.cancel(link.token);
            lost(cx, state, "the gateway can't be reached in time", out);
        }
        Stage::Greet | Stage::Introduce if link.overdue == token => {
            drop_connection(cx, state, "the gateway says nothing", out);
        }
        _ => {}
    }
}

/// A socket is open. The platform speaks first.
pub(crate) fn opened(state: &mut State, opened: &SocketOpened, out: &mut Commands) {
    let link = &mut state.link;
    if link.stage == Stage::Connect && link.token == opened.token {
        (link.stage, link.socket) = (Stage::Greet, opened.socket);
        out.timer(link.overdue, HELLO_TIMEOUT);
    } else {
        out.ws_close(opened.socket, KEEP_SESSION);
    }
}

/// A socket closed, or never opened.
pub(crate) fn closed(cx: &Context<Config>, state: &mut State, closed: &SocketClosed, out: &mut Commands) {
    let link = &state.link;
    let failed = link.stage == Stage::Connect && link.token == closed.token;
    if !failed && !link.is_open(closed.socket) {
        return;
    }
    let reason = match (closed.silent, closed.code) {
        (true, _) => "heartbeats were not acknowledged".to_owned(),
        (false, Some(code)) => format!("the gateway closed the connection ({code} {})", closed.reason),
        (false, None) => format!("the connection was lost ({})", closed.reason),
    };
    state.link.socket = 0;
    match close::after(closed.code) {
        Next::Resume => lost(cx, state, &reason, out),
        Next::Identify => start_over(cx, state, &reason, out),
        Next::GiveUp(advice) => {
            state.session = None;
            give_up(state, &format!("{advice} (close code {})", closed.code.unwrap_or_default()), out);
        }
    }
}

/// Closes the connection and takes the session up on another one.
pub(crate) fn drop_connection(cx: &Context<Config>, state: &mut State, reason: &str, out: &mut Commands) {
    out.ws_close(state.link.socket, KEEP_SESSION);
    lost(cx, state, reason, out);
}

/// The session is over: another one begins in a while, on another connection.
pub(crate) fn start_over(cx: &Context<Config>, state: &mut State, reason: &str, out: &mut Commands) {
    close_known(state.link.socket, KEEP_SESSION, out);
    out.cancel(state.link.overdue);
    state.session = None;
    state.link.attempts.failures = state.link.attempts.failures.saturating_add(1);
    wait(state, Duration::from_millis(cx.random_between(1_000, 5_000)), reason, out);
}

/// The next step towards a session: taking up the one there is, or beginning one where and when that is allowed.
fn proceed(cx: &Context<Config>, state: &mut State, out: &mut Commands) {
    if let Some(session) = &state.session {
        // Another way in, should the one named for this not be there.
        let detour = state.link.attempts.failures > 2 && !state.starts.url.is_empty();
        let url = if detour || session.url.is_empty() { &state.starts.url } else { &session.url };
        let url = url.clone();
        return connect(cx, state, &url, true, out);
    }
    if state.starts.is_stale(cx.now) {
        return ask(cx, state, out);
    }
    match state.starts.wait(cx.now) {
        Some((after, why)) => wait(state, after, &why, out),
        None => {
            let url = state.starts.url.clone();
            connect(cx, state, &url, false, out);
        }
    }
}

fn ask(cx: &Context<Config>, state: &mut State, out: &mut Commands) {
    if let Some(left) = state.cooldown.wait(cx.now) {
        return wait_as_told(state, left, SHUT_OUT, out);
    }
    let token = state.token();
    (state.link.stage, state.link.token) = (Stage::Ask, token);
    let request: Http = call::authorized(&cx.config, "GET", "/gateway/bot");
    out.http(request.token(token).timeout(call::CALL_TIMEOUT));
}

fn connect(cx: &Context<Config>, state: &mut State, url: &str, resuming: bool, out: &mut Commands) {
    let (token, overdue) = (state.token(), state.token());
    let Link { attempts, sends, .. } = std::mem::take(&mut state.link);
    state.link = Link { stage: Stage::Connect, token, overdue, resuming, attempts, sends, ..Link::default() };
    state.link.attempts.fruitful = false;
    let url = cx.config.gateway_url().unwrap_or(url).trim_end_matches('/');
    let url = format!("{url}{}v=10&encoding=json", if url.contains('?') { "&" } else { "/?" });
    out.ws_connect(token, url, Vec::new());
    out.timer(overdue, CONNECT_TIMEOUT);
}

/// The connection is gone, the session may not be.
fn lost(cx: &Context<Config>, state: &mut State, reason: &str, out: &mut Commands) {
    let link = &mut state.link;
    out.cancel(link.overdue);
    if link.attempts.fruitful {
        link.attempts.failures = 0;
    }
    if link.resuming && matches!(link.stage, Stage::Greet | Stage::Introduce) {
        link.attempts.resumes += 1;
    } else if !link.resuming && link.stage != Stage::Live {
        state.starts.forget_url();
    }
    if link.attempts.resumes >= MAX_RESUMES {
        link.attempts.resumes = 0;
        out.log(LogLevel::Warn, "the session could not be taken up again: another one begins");
        state.session = None;
    }
    failed(cx, state, reason, out);
}

/// Tries again: at once after the first failure, later after each further one.
fn failed(cx: &Context<Config>, state: &mut State, reason: &str, out: &mut Commands) {
    let failures = state.link.attempts.failures;
    state.link.attempts.failures = failures.saturating_add(1);
    if failures == 0 && state.link.stage == Stage::Live {
        out.log(LogLevel::Info, format!("{reason}; connecting again"));
        out.status(Status::Reconnecting(reason.to_owned()));
        return proceed(cx, state, out);
    }
    wait(state, cx.backoff(failures.saturating_sub(1)), reason, out);
}

/// Waits as the platform's own answer makes it: it has heard us, and nothing else makes the connection anew meanwhile.
fn wait_as_told(state: &mut State, after: Duration, reason: &str, out: &mut Commands) {
    out.proof(after + CONNECT_TIMEOUT, None);
    wait(state, after, reason, out);
}

fn wait(state: &mut State, after: Duration, reason: &str, out: &mut Commands) {
    let seconds = after.as_millis().div_ceil(1000);
    let why = format!("{reason}; next try in {seconds} s");
    let token = state.token();
    (state.link.stage, state.link.token) = (Stage::Wait, token);
    out.log(LogLevel::Warn, &why);
    out.status(Status::Reconnecting(why));
    out.timer(token, after);
}

fn give_up(state: &mut State, why: &str, out: &mut Commands) {
    out.cancel(state.link.overdue);
    state.link = Link::default();
    out.log(LogLevel::Error, why);
    out.status(Status::Failed(why.to_owned()));
}

/// Ends whatever is under way.
fn hang_up(state: &mut State, code: u16, out: &mut Commands) {
    let link = std::mem::take(&mut state.link);
    match link.stage {
        Stage::Off => {}
        Stage::Ask | Stage::Wait => out.cancel(link.token),
        Stage::Connect => {
            out.cancel(link.token);
            out.cancel(link.overdue);
        }
        Stage::Greet | Stage::Introduce | Stage::Live => {
            out.cancel(link.overdue);
            close_known(link.socket, code, out);
        }
    }
    state.link.sends = link.sends;
}

fn close_known(socket: Socket, code: u16, out: &mut Commands) {
    if socket != 0 {
        out.ws_close(socket, code);
    }
}
