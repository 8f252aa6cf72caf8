//! The poll: one request for updates at a time, and what happens when it doesn't come back well.

use std::time::Duration;

use prx_sdk::connector::{Commands, Context, HttpOutcome, LogLevel, Resumed, Status};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::api::{Me, Trouble};
use crate::call::{self, GRACE};
use crate::config::Config;
use crate::receive::{self, Batch};
use crate::state::State;

const NOBODY_ALLOWED: &str = "allowed_users is empty, so everyone is refused: \
    list user ids or usernames there, or \"*\" for everyone";

/// Where the poll stands.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    stage: Stage,
    /// The request in flight, or the timer after which the stage is tried again.
    token: u64,
    waiting: bool,
    /// When the request went out, in Unix milliseconds.
    since: u64,
    /// Tries in a row without success.
    failures: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    /// Not polling.
    #[default]
    Off,
    /// Taking down a webhook, which would keep updates from a poll.
    Unhook,
    /// Asking whose token this is.
    Identify,
    /// A poll that comes back at once: it shows whether polling works.
    Probe,
    /// The long poll.
    Listen,
}

impl Stage {
    fn method(self) -> &'static str {
        match self {
            Stage::Off => "",
            Stage::Unhook => "deleteWebhook",
            Stage::Identify => "getMe",
            Stage::Probe | Stage::Listen => "getUpdates",
        }
    }
}

impl Poll {
    /// Whether this token is that of its request.
    pub fn awaits_answer(&self, token: u64) -> bool {
        !self.waiting && self.stage != Stage::Off && self.token == token
    }

    /// Whether this token is that of its timer.
    pub fn awaits_timer(&self, token: u64) -> bool {
        self.waiting && self.stage != Stage::Off && self.token == token
    }

    /// Whether it goes on by itself with what is still on its way.
    pub fn lives_in(&self, resumed: &Resumed) -> bool {
        let open = if self.waiting { &resumed.timers } else { &resumed.requests };
        self.stage != Stage::Off && open.contains(&self.token)
    }
}

/// Starts from the beginning, whatever was before.
pub(crate) fn begin(cx: &Context<Config>, state: &mut State, out: &mut Commands) {
    let before = std::mem::take(&mut state.poll);
    if before.stage != Stage::Off {
        out.cancel(before.token);
    }
    if cx.config.refuses_everyone() {
        out.status(Status::Failed(NOBODY_ALLOWED.to_owned()));
        return;
    }
    out.status(Status::Connecting);
    request(cx, state, Stage::Unhook, out);
}

/// The wait is over.
pub(crate) fn again(cx: &Context<Config>, state: &mut State, out: &mut Commands) {
    request(cx, state, state.poll.stage, out);
}

/// The request was answered, or it failed.
pub(crate) fn answered(cx: &Context<Config>, state: &mut State, outcome: &HttpOutcome, out: &mut Commands) {
    let latency = match outcome {
        HttpOutcome::Response(response) if state.poll.stage != Stage::Listen => {
            Some(Duration::from_millis(response.elapsed_ms.into()))
        }
        _ => None,
    };
    match (state.poll.stage, call::answer(outcome)) {
        (Stage::Unhook, Ok(_)) => request(cx, state, Stage::Identify, out),
        (Stage::Identify, Ok(result)) => identified(cx, state, result, latency, out),
        (_, Ok(result)) => received(cx, state, result, latency, out),
        (_, Err(trouble)) => troubled(cx, state, trouble, out),
    }
}

fn request(cx: &Context<Config>, state: &mut State, stage: Stage, out: &mut Commands) {
    let hold = if stage == Stage::Listen { cx.config.poll_timeout() } else { 0 };
    let body = match stage {
        Stage::Off | Stage::Identify => json!({}),
        Stage::Unhook => json!({ "drop_pending_updates": false }),
        Stage::Probe | Stage::Listen => {
            json!({ "offset": state.offset, "limit": 100, "timeout": hold, "allowed_updates": ["message"] })
        }
    };
    let token = state.token();
    state.poll = Poll { stage, token, waiting: false, since: cx.now, failures: state.poll.failures };
    let timeout = Duration::from_secs(hold.into()) + GRACE;
    // One lane: a poll that was given up is over before the next one goes out.
    out.http(call::post(&cx.config, stage.method(), &body).token(token).timeout(timeout).lane("poll"));
}

fn identified(
    cx: &Context<Config>,
    state: &mut State,
    result: &RawValue,
    latency: Option<Duration>,
    out: &mut Commands,
) {
    match serde_json::from_str::<Me>(result.get()) {
        Ok(me) => {
            state.meet(me);
            out.proof(good_for(&cx.config), latency);
            request(cx, state, Stage::Probe, out);
        }
        Err(_) => retry(cx, state, "the answer names no bot", out),
    }
}

fn received(
    cx: &Context<Config>,
    state: &mut State,
    result: &RawValue,
    latency: Option<Duration>,
    out: &mut Commands,
) {
    match receive::batch(cx, state, result, out) {
        Batch::Taken => {
            state.poll.failures = 0;
            out.proof(good_for(&cx.config), latency);
            out.status(Status::Connected);
            request(cx, state, Stage::Listen, out);
        }
        Batch::Stuck(reason) => retry(cx, state, reason, out),
    }
}

/// Two long polls in a row may go amiss before the channel counts as deaf.
fn good_for(config: &Config) -> Duration {
    2 * (Duration::from_secs(config.poll_timeout().into()) + GRACE) + GRACE
}

fn troubled(cx: &Context<Config>, state: &mut State, trouble: Trouble, out: &mut Commands) {
    match trouble {
        Trouble::Token(reason) => fail(state, &reason, out),
        Trouble::Conflict(reason) if reason.contains("webhook") => {
            state.poll.stage = Stage::Unhook;
            let why = format!("a webhook is set for this bot and takes its updates ({reason})");
            wait(state, conflict_wait(cx), &why, out);
        }
        Trouble::Conflict(reason) => {
            state.poll.stage = Stage::Probe;
            let why = format!("another poller uses this bot token ({reason}): stop it, or use another bot");
            wait(state, conflict_wait(cx), &why, out);
        }
        Trouble::Pace(seconds) => {
            let after =
                Duration::from_secs(seconds.into()) + Duration::from_millis(cx.random_between(0, 1000));
            wait(state, after, "the platform asks to slow down", out);
        }
        Trouble::Unknown(_) if timed_out(cx, &state.poll) => {
            state.poll.failures = 1;
            request(cx, state, Stage::Probe, out);
        }
        Trouble::Unknown(reason) | Trouble::Server(reason) | Trouble::Refused(reason) => {
            retry(cx, state, &reason, out);
        }
        Trouble::Migrated(_) => retry(cx, state, "an answer that fits no poll", out),
    }
}

fn conflict_wait(cx: &Context<Config>) -> Duration {
    Duration::from_millis(cx.random_between(30_000, 45_000))
}

/// A long poll that was lost no sooner than it would have ended anyway, for the first time.
fn timed_out(cx: &Context<Config>, poll: &Poll) -> bool {
    let held = cx.now.saturating_sub(poll.since) / 1000;
    poll.stage == Stage::Listen && poll.failures == 0 && held >= cx.config.poll_timeout().into()
}

fn fail(state: &mut State, reason: &str, out: &mut Commands) {
    state.poll = Poll::default();
    let why = format!(
        "the Bot API does not accept the token ({reason}): check bot_token, and api_base if it is set"
    );
    out.log(LogLevel::Error, &why);
    out.status(Status::Failed(why));
}

fn retry(cx: &Context<Config>, state: &mut State, reason: &str, out: &mut Commands) {
    if state.poll.stage == Stage::Listen {
        state.poll.stage = Stage::Probe;
    }
    let after = call::backoff(cx, state.poll.failures);
    wait(state, after, reason, out);
}

fn wait(state: &mut State, after: Duration, reason: &str, out: &mut Commands) {
    let seconds = after.as_millis().div_ceil(1000);
    let why = format!("{}: {reason}; next try in {seconds} s", state.poll.stage.method());
    let token = state.token();
    state.poll.token = token;
    state.poll.waiting = true;
    state.poll.failures = state.poll.failures.saturating_add(1);
    out.log(LogLevel::Warn, &why);
    out.status(Status::Reconnecting(why));
    out.timer(token, after);
}
