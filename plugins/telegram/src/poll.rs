//! The way in: one request for updates at a time or, with a webhook, a look at how it fares from time to time; and
//! what happens when a request doesn't come back well.

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
use crate::webhook;

/// The updates that are asked for. Said each time, for a list that is left out is the one from before.
pub(crate) const UPDATES: [&str; 2] = ["message", "callback_query"];
/// How often the platform is asked how its webhook fares.
const LOOK: Duration = Duration::from_secs(60);
/// How long to wait when messages come in faster than their media.
const BREATH: Duration = Duration::from_secs(1);

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
    /// Setting a webhook up.
    Hook,
    /// Asking how the webhook fares.
    Look,
}

impl Stage {
    fn method(self) -> &'static str {
        match self {
            Stage::Off => "",
            Stage::Unhook => "deleteWebhook",
            Stage::Identify => "getMe",
            Stage::Probe | Stage::Listen => "getUpdates",
            Stage::Hook => "setWebhook",
            Stage::Look => "getWebhookInfo",
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

    /// Whether there is a connection, or one being made.
    pub fn is_on(&self) -> bool {
        self.stage != Stage::Off
    }

    /// Whether the webhook is set up.
    pub fn is_hooked(&self) -> bool {
        self.stage == Stage::Look
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
    if before.is_on() {
        out.cancel(before.token);
    }
    if let Some(problem) = cx.config.problem() {
        out.status(Status::Failed(problem.to_owned()));
        return;
    }
    out.status(Status::Connecting);
    request(cx, state, if cx.config.webhook { Stage::Identify } else { Stage::Unhook }, out);
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
        (Stage::Hook, Ok(_)) => request(cx, state, Stage::Look, out),
        (Stage::Look, Ok(result)) => looked(cx, state, result, latency, out),
        (_, Ok(result)) => received(cx, state, result, latency, out),
        (Stage::Hook, Err(Trouble::Refused(reason))) => fail(state, webhook::advice(&reason), out),
        (Stage::Hook, Err(Trouble::Server(reason))) if reason.contains("webhook_secret") => {
            fail(state, webhook::advice(&reason), out);
        }
        (_, Err(trouble)) => troubled(cx, state, trouble, out),
    }
}

fn request(cx: &Context<Config>, state: &mut State, stage: Stage, out: &mut Commands) {
    let hold = if stage == Stage::Listen { cx.config.poll_timeout() } else { 0 };
    let call = match stage {
        Stage::Hook => webhook::set_up(&cx.config),
        Stage::Off | Stage::Identify | Stage::Look => call::post(&cx.config, stage.method(), &json!({})),
        Stage::Unhook => call::post(&cx.config, stage.method(), &json!({ "drop_pending_updates": false })),
        Stage::Probe | Stage::Listen => {
            let offset = state.offset;
            let body = json!({ "offset": offset, "limit": 100, "timeout": hold, "allowed_updates": UPDATES });
            call::post(&cx.config, stage.method(), &body)
        }
    };
    let token = state.token();
    state.poll = Poll { stage, token, waiting: false, since: cx.now, failures: state.poll.failures };
    let timeout = Duration::from_secs(hold.into()) + GRACE;
    // One lane: a poll that was given up is over before the next one goes out.
    out.http(call.token(token).timeout(timeout).lane("poll"));
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
            request(cx, state, if cx.config.webhook { Stage::Hook } else { Stage::Probe }, out);
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
            if state.is_full() {
                rest(cx, state, (Stage::Listen, BREATH), out);
            } else {
                request(cx, state, Stage::Listen, out);
            }
        }
        Batch::Stuck(reason) => retry(cx, state, reason, out),
    }
}

fn looked(
    cx: &Context<Config>,
    state: &mut State,
    result: &RawValue,
    latency: Option<Duration>,
    out: &mut Commands,
) {
    let Ok(info) = serde_json::from_str::<webhook::Info>(result.get()) else {
        return retry(cx, state, "the answer tells nothing of a webhook", out);
    };
    if !info.leads_to(&cx.config) {
        state.poll.stage = Stage::Hook;
        return wait(state, conflict_wait(cx), webhook::ELSEWHERE, out);
    }
    out.proof(good_for(&cx.config), latency);
    match info.trouble(cx.now.saturating_sub(2 * LOOK.as_secs() * 1000)) {
        None => out.status(Status::Connected),
        Some(trouble) => out.status(Status::Reconnecting(trouble)),
    }
    rest(cx, state, (Stage::Look, LOOK), out);
}

/// Nothing is wrong; this comes next, after a while.
fn rest(cx: &Context<Config>, state: &mut State, (stage, after): (Stage, Duration), out: &mut Commands) {
    let token = state.token();
    state.poll = Poll { stage, token, waiting: true, since: cx.now, failures: 0 };
    out.timer(token, after);
}

/// Two long polls, or looks at the webhook, in a row may go amiss before the channel counts as deaf.
pub(crate) fn good_for(config: &Config) -> Duration {
    let each = if config.webhook { LOOK } else { Duration::from_secs(config.poll_timeout().into()) };
    2 * (each + GRACE) + GRACE
}

fn troubled(cx: &Context<Config>, state: &mut State, trouble: Trouble, out: &mut Commands) {
    match trouble {
        Trouble::Token(reason) => fail(
            state,
            format!(
                "the Bot API does not accept the token ({reason}): check bot_token, and api_base if it is set"
            ),
            out,
        ),
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

fn fail(state: &mut State, why: String, out: &mut Commands) {
    state.poll = Poll::default();
    out.log(LogLevel::Error, &why);
    out.status(Status::Failed(why));
}

fn retry(cx: &Context<Config>, state: &mut State, reason: &str, out: &mut Commands) {
    if state.poll.stage == Stage::Listen {
        state.poll.stage = Stage::Probe;
    }
    let after = cx.backoff(state.poll.failures);
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
