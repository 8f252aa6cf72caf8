//! How updates come in: one long poll at a time or, with a webhook, a check of it once a minute; and when a failed request
//! is retried.

use std::time::Duration;

use prx_sdk::connector::{Commands, Context, HttpOutcome, LogLevel, Status};
use serde_json::json;
use serde_json::value::RawValue;

use crate::api::{Failure, Me};
use crate::call::{self, CALL_TIMEOUT};
use crate::config::Config;
use crate::menu;
use crate::receive::{self, Batch};
use crate::stage::{Poll, Stage, WEBHOOK_CHECK_INTERVAL, good_for, good_for_wait};
use crate::state::State;
use crate::update::UPDATES;
use crate::webhook;

/// The pause before the next long poll while too many messages are pending.
const FULL_QUEUE_PAUSE: Duration = Duration::from_secs(1);
/// The longest wait after the first refusal of a token that worked before, in milliseconds.
const MIN_REFUSED_WAIT_MS: u64 = 30_000;
/// The longest wait after any of them, in milliseconds.
const MAX_REFUSED_WAIT_MS: u64 = 900_000;

const PRIVACY_MODE: &str = "mention_only is off or hear_groups is on, but the bot's privacy mode keeps from it what is not said to it in groups: \
    turn that off at @BotFather with /setprivacy, then take the bot out of its groups and add it again";
const REFUSED_NOW: &str = "the Bot API does not accept the token any more";
const WAY_THERE: &str = "the way to the Bot API: api_base if it is set, or a proxy in between";

/// Starts from the beginning, whatever was before.
pub(crate) fn begin(cx: &Context<Config>, state: &mut State, out: &mut Commands) {
    let before = std::mem::take(&mut state.poll);
    state.poll.conflicts = before.conflicts.clone();
    if before.is_on() {
        out.cancel(before.token);
    }
    if let Some(problem) = cx.config.problem() {
        out.status(Status::Failed(problem.to_owned()));
        return;
    }
    out.status(Status::Connecting);
    request(cx, state, if cx.config.webhook { Stage::Identify } else { Stage::DeleteWebhook }, out);
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
    let answer = call::answer(outcome);
    state.token_worked |= answer.is_ok();
    match (state.poll.stage, answer) {
        (Stage::DeleteWebhook, Ok(_)) => request(cx, state, Stage::Identify, out),
        (Stage::Identify, Ok(result)) => identified(cx, state, result, latency, out),
        (Stage::SetWebhook, Ok(_)) => request(cx, state, Stage::CheckWebhook, out),
        (Stage::CheckWebhook, Ok(result)) => webhook_checked(cx, state, result, latency, out),
        (_, Ok(result)) => received(cx, state, result, latency, out),
        (Stage::SetWebhook, Err(Failure::Refused(reason))) => fail(state, webhook::advice(&reason), out),
        (Stage::SetWebhook, Err(Failure::Server(reason))) if reason.contains("webhook_secret") => {
            fail(state, webhook::advice(&reason), out);
        }
        (_, Err(failure)) => poll_failed(cx, state, failure, out),
    }
}

fn request(cx: &Context<Config>, state: &mut State, stage: Stage, out: &mut Commands) {
    if let Some(left) = state.cooldown.wait(cx.now) {
        state.poll.stage = if stage == Stage::Listen { Stage::Probe } else { stage };
        return wait(state, left, call::COOLING, out);
    }
    let hold = if stage == Stage::Listen { cx.config.poll_timeout() } else { 0 };
    let call = match stage {
        Stage::SetWebhook => webhook::set_up(&cx.config),
        Stage::Off | Stage::Identify | Stage::CheckWebhook => {
            call::post(&cx.config, stage.method(), &json!({}))
        }
        Stage::DeleteWebhook => {
            call::post(&cx.config, stage.method(), &json!({ "drop_pending_updates": false }))
        }
        Stage::Probe | Stage::Listen => {
            let offset = state.offset;
            let body = json!({ "offset": offset, "limit": 100, "timeout": hold, "allowed_updates": UPDATES });
            call::post(&cx.config, stage.method(), &body)
        }
    };
    let token = state.token();
    state.poll = Poll { stage, token, waiting: false, since: cx.now, ..std::mem::take(&mut state.poll) };
    let timeout = Duration::from_secs(hold.into()) + CALL_TIMEOUT;
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
            if (!cx.config.mention_only || cx.config.hear_groups)
                && me.can_read_all_group_messages == Some(false)
            {
                out.log(LogLevel::Warn, PRIVACY_MODE);
            }
            state.meet(me);
            menu::look(cx, state, out);
            out.proof(good_for(&cx.config), latency);
            request(cx, state, if cx.config.webhook { Stage::SetWebhook } else { Stage::Probe }, out);
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
                schedule(cx, state, (Stage::Listen, FULL_QUEUE_PAUSE), out);
            } else {
                request(cx, state, Stage::Listen, out);
            }
        }
        Batch::Stuck(reason) => retry(cx, state, reason, out),
    }
}

fn webhook_checked(
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
        state.poll.stage = Stage::SetWebhook;
        let after = state.poll.conflicts.wait(cx);
        return wait_as_told(state, after, webhook::ELSEWHERE, out);
    }
    out.proof(good_for(&cx.config), latency);
    match info.failure(cx.now.saturating_sub(2 * WEBHOOK_CHECK_INTERVAL.as_secs() * 1000)) {
        None => out.status(Status::Connected),
        Some(failure) => out.status(Status::Reconnecting(failure)),
    }
    schedule(cx, state, (Stage::CheckWebhook, WEBHOOK_CHECK_INTERVAL), out);
}

/// Nothing failed; this stage comes next, after this long.
fn schedule(cx: &Context<Config>, state: &mut State, (stage, after): (Stage, Duration), out: &mut Commands) {
    let token = state.token();
    let conflicts = std::mem::take(&mut state.poll.conflicts);
    state.poll = Poll { stage, token, waiting: true, since: cx.now, failures: 0, conflicts };
    out.timer(token, after);
}

fn poll_failed(cx: &Context<Config>, state: &mut State, failure: Failure, out: &mut Commands) {
    match failure {
        Failure::Token(reason) if state.token_worked => {
            if state.poll.stage == Stage::Listen {
                state.poll.stage = Stage::Probe;
            }
            let after = refused_wait(cx, state.poll.failures);
            let why = format!("{REFUSED_NOW} ({reason}): if it was revoked, set bot_token to the new one");
            wait_as_told(state, after, &why, out);
        }
        Failure::Token(reason) => fail(
            state,
            format!(
                "the Bot API does not accept the token ({reason}): check bot_token, and api_base if it is set"
            ),
            out,
        ),
        Failure::Conflict(reason) if reason.contains("webhook") => {
            state.poll.stage = Stage::DeleteWebhook;
            let why = format!("a webhook is set for this bot and takes its updates ({reason})");
            let after = state.poll.conflicts.wait(cx);
            wait_as_told(state, after, &why, out);
        }
        Failure::Conflict(reason) => {
            state.poll.stage = Stage::Probe;
            let why = format!("another poller uses this bot token ({reason}): stop it, or use another bot");
            let after = state.poll.conflicts.wait(cx);
            wait_as_told(state, after, &why, out);
        }
        Failure::RateLimited(seconds) => {
            let pause = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            let pause = pause.or_else(|| state.cooldown.left(cx.now)).unwrap_or_default();
            let after = pause + Duration::from_millis(cx.random_between(0, 1000));
            let why = if seconds.is_some() { "the platform asks to slow down" } else { call::COOLING };
            wait_as_told(state, after, why, out);
        }
        Failure::Unknown(_) if timed_out(cx, &state.poll) => {
            state.poll.failures = 1;
            request(cx, state, Stage::Probe, out);
        }
        Failure::Unknown(reason) | Failure::Server(reason) | Failure::Refused(reason) => {
            let reason = if state.token_worked { reason } else { format!("{reason}: check {WAY_THERE}") };
            retry(cx, state, &reason, out);
        }
        Failure::Migrated(_) => retry(cx, state, "an answer that fits no poll", out),
    }
}

/// The wait after so many refusals in a row of a token that worked before.
fn refused_wait(cx: &Context<Config>, failures: u32) -> Duration {
    let longest = MIN_REFUSED_WAIT_MS.saturating_mul(1 << failures.min(8)).min(MAX_REFUSED_WAIT_MS);
    Duration::from_millis(cx.random_between(longest * 2 / 3, longest))
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

/// Waits as the platform's own answer makes it: it has heard us.
fn wait_as_told(state: &mut State, after: Duration, reason: &str, out: &mut Commands) {
    out.proof(good_for_wait(after), None);
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
