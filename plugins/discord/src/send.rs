//! What the agent has to say goes out, part by part, and its outcome is told.

use std::time::Duration;

use prx_sdk::connector::{
    Commands, Context, Http, HttpOutcome, LogLevel, Operation, Outbound, Outcome, Target,
};
use serde_json::Value;

use crate::api::{Failure, SHUT_OUT, Sent, TOO_LARGE};
use crate::call;
use crate::command::PendingCommand;
use crate::config::Config;
use crate::interact;
use crate::message::is_id;
use crate::op::{Op, Parts, Work};
use crate::pace::Route;
use crate::state::State;
use crate::upload;

/// Timeout of a call without files.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of a call with files.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the platform recognizes a message that is sent again under the same nonce, in milliseconds.
const NONCE_WINDOW_MS: u64 = 120_000;
/// The shortest time between two signs of typing in one channel, in milliseconds: the platform shows one for ten seconds.
const TYPING_INTERVAL_MS: u64 = 7_500;

/// The pause of an operation after a refusal of the token, which worked before.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

const LOST: &str = "the platform's answer was lost";

const UNKNOWN_MESSAGE: u64 = 10_008;
const UNKNOWN_WEBHOOK: u64 = 10_015;
const MISSING_ACCESS: u64 = 50_001;
const UNREACHABLE_USER: u64 = 50_007;
const MISSING_PERMISSIONS: u64 = 50_013;

/// Something to do on the platform: from its beginning, or from where an earlier attempt came to.
pub(crate) fn outbound(cx: &Context<Config>, state: &mut State, outbound: Outbound, out: &mut Commands) {
    let id = outbound.id.clone();
    if outbound.operation == Operation::Typing {
        return typing(cx, state, &id, &outbound.target, out);
    }
    let maybe_repeats = outbound.maybe_duplicate;
    if let Some(op) = state.ops.take_begun(&id) {
        let op = Op { attempt: outbound.attempt, ..op };
        // Under the same nonce the platform makes no second message of it.
        let maybe_repeats = maybe_repeats && !is_repeatable(cx, state, &op);
        return request(cx, state, op.marked(maybe_repeats), out);
    }
    match Op::new(outbound) {
        Ok(Some(mut op)) => {
            let shown = op.text().map(|text| state.continued.parts(text)).unwrap_or_default();
            if op.follow(shown) {
                request(cx, state, op.marked(maybe_repeats), out);
            } else {
                finish(state, op, out);
            }
        }
        Ok(None) => out.done(id, Outcome::Unsupported),
        Err(reason) => out.done(id, Outcome::Refused(reason)),
    }
}

/// The request of an operation was answered, or it failed.
pub(crate) fn answered(
    cx: &Context<Config>,
    state: &mut State,
    op: Op,
    outcome: &HttpOutcome,
    out: &mut Commands,
) {
    if let HttpOutcome::Response(response) = outcome {
        state.pace.learn(cx.now, Route { kind: op.kind(), place: &op.channel }, response);
    }
    match call::answer(outcome) {
        Ok(response) if op.sends() => match response.json::<Sent>() {
            Ok(sent) if is_id(&sent.id) => succeeded(cx, state, op, Some(sent.id), out),
            _ => failed(cx, state, op, Failure::Unknown("the answer names no message".into()), out),
        },
        Ok(_) => succeeded(cx, state, op, None, out),
        Err(failure) => failed(cx, state, op, failure, out),
    }
}

/// Says of operations that they are at an end for now, for the answers to their calls will not come.
pub(crate) fn resume(cx: &Context<Config>, state: &mut State, in_flight: &[u64], out: &mut Commands) {
    for op in state.ops.pause_all_but(in_flight) {
        let again = is_repeatable(cx, state, &op);
        out.done(op.id, if again { Outcome::RetryAfter(0) } else { Outcome::Unknown(LOST.to_owned()) });
    }
}

fn request(cx: &Context<Config>, state: &mut State, mut op: Op, out: &mut Commands) {
    if let Some(left) = state.cooldown.wait(cx.now) {
        return shut_out(cx, state, op, left, out);
    }
    let pending = pending_command(cx, state, &op).cloned();
    if pending.is_none()
        && let Some(after) = state.pace.wait(cx, Route { kind: op.kind(), place: &op.channel })
    {
        return later(state, op, after, out);
    }
    op.token = state.token();
    if op.since == 0 {
        op.since = cx.now;
    }
    let request = match (&pending, &op.work) {
        (Some(pending), Work::Send(parts)) => answer_to_command(cx, &op, (pending, parts)),
        _ => request_of(cx, &op).lane(format!("channel:{}", op.channel)),
    };
    let timeout = if op.files().is_empty() { TIMEOUT } else { UPLOAD_TIMEOUT };
    out.http(request.token(op.token).timeout(timeout));
    state.ops.push(op);
}

fn request_of(cx: &Context<Config>, op: &Op) -> Http {
    let messages = format!("/channels/{}/messages", op.channel);
    match &op.work {
        Work::Send(parts) => match &parts.edit {
            Some(message) if op.kind() == "delete" => {
                call::authorized(&cx.config, "DELETE", &format!("{messages}/{message}"))
            }
            Some(message) => {
                let call = call::authorized(&cx.config, "PATCH", &format!("{messages}/{message}"));
                filled(cx, call, op, parts.body())
            }
            None => filled(cx, call::authorized(&cx.config, "POST", &messages), op, op.message_body(parts)),
        },
        Work::Delete { message, .. } => {
            call::authorized(&cx.config, "DELETE", &format!("{messages}/{message}"))
        }
        Work::React { message, emoji } => {
            let path = format!("{messages}/{message}/reactions/{}/@me", call::encoded(emoji));
            call::authorized(&cx.config, "PUT", &path)
        }
    }
}

/// The call with this body, and the files that go with it.
fn filled(cx: &Context<Config>, call: Http, op: &Op, body: Value) -> Http {
    match op.files() {
        [] => call.json(&body),
        files => upload::fill(cx, call, body, files),
    }
}

/// The command that this is the answer to, as long as it can be answered.
fn pending_command<'a>(cx: &Context<Config>, state: &'a State, op: &Op) -> Option<&'a PendingCommand> {
    let Work::Send(parts) = &op.work else { return None };
    interact::pending_command(state, parts.reply_to.as_deref()?, cx.now)
}

/// The first part takes the place of "thinking…" or of what is shown already, the others follow it.
fn answer_to_command(cx: &Context<Config>, op: &Op, (pending, parts): (&PendingCommand, &Parts)) -> Http {
    let path = format!("/webhooks/{}/{}", pending.application, call::encoded(&pending.token));
    let request = match (&parts.edit, parts.sent) {
        (Some(message), _) => call::open(&cx.config, "PATCH", &format!("{path}/messages/{message}")),
        (None, 0) => call::open(&cx.config, "PATCH", &format!("{path}/messages/@original")),
        (None, _) => call::open(&cx.config, "POST", &format!("{path}?wait=true")),
    };
    filled(cx, request, op, parts.body()).lane(interact::lane(&pending.id))
}

/// Nobody misses a sign of typing that was lost, and no message should wait for one.
fn typing(cx: &Context<Config>, state: &mut State, id: &str, target: &Target, out: &mut Commands) {
    let channel = target.thread.as_ref().unwrap_or(&target.conversation);
    if !is_id(channel) {
        return out.done(id, Outcome::Refused(format!("{channel:?} is no id of this platform")));
    }
    let route = Route { kind: "typing", place: channel };
    if state.cooldown.is_over() && state.pace.wait(cx, route).is_none() {
        // It still shows: to say so again before then is to no use.
        state.pace.hold(cx.now, route, Duration::from_millis(TYPING_INTERVAL_MS));
        let path = format!("/channels/{channel}/typing");
        let token = state.token();
        out.http(call::authorized(&cx.config, "POST", &path).token(token).timeout(call::CALL_TIMEOUT));
    }
    out.done(id, Outcome::Ok(None));
}

fn succeeded(
    cx: &Context<Config>,
    state: &mut State,
    mut op: Op,
    message: Option<String>,
    out: &mut Commands,
) {
    if op.advance(message) { request(cx, state, op, out) } else { finish(state, op, out) }
}

/// All is done: what shows the text is remembered, as it may grow.
fn finish(state: &mut State, mut op: Op, out: &mut Commands) {
    if let Some((text, parts)) = op.became() {
        state.continued.note(&text, parts);
    }
    out.done(&op.id, Outcome::Ok(op.message()));
}

fn failed(cx: &Context<Config>, state: &mut State, mut op: Op, failure: Failure, out: &mut Commands) {
    let route = Route { kind: op.kind(), place: &op.channel };
    match failure {
        Failure::RateLimited { after, global } => {
            if global {
                state.pace.hold_all(cx.now, after);
            } else {
                state.pace.hold(cx.now, route, after);
            }
            log(&op, "the platform asks to slow down", out);
            later(state, op, after, out);
        }
        Failure::ShutOut(_) => {
            let left = state.cooldown.left(cx.now).unwrap_or_default();
            shut_out(cx, state, op, left, out);
        }
        Failure::Token(reason) if state.token_worked => {
            log(&op, &reason, out);
            later(state, op, REFUSED_PAUSE, out);
        }
        Failure::Unknown(reason) if !is_repeatable(cx, state, &op) => {
            out.done(&op.id, Outcome::Unknown(reason));
            state.ops.pause(op);
        }
        Failure::Refused { code: UNKNOWN_WEBHOOK, reason }
            if op.attempt < 5 && pending_command(cx, state, &op).is_some() =>
        {
            // The platform has not yet seen that the command was taken.
            log(&op, &reason, out);
            later(state, op, Duration::from_secs(1), out);
        }
        Failure::Reference(reason) if op.drop_reference() => {
            log(&op, &format!("{reason}; it goes out without the message that it answers"), out);
            request(cx, state, op, out);
        }
        Failure::Refused { code: TOO_LARGE, .. } if op.lighten() => request(cx, state, op, out),
        Failure::Refused { code: UNKNOWN_MESSAGE, .. } if op.kind() == "delete" => {
            succeeded(cx, state, op, None, out);
        }
        Failure::Server(reason) if let Some(place) = op.missing(&reason) => {
            op.leave_out(place);
            request(cx, state, op, out);
        }
        Failure::Server(reason) | Failure::Unknown(reason) => {
            log(&op, &reason, out);
            let after = cx.backoff(op.attempt.saturating_sub(1));
            later(state, op, after, out);
        }
        Failure::Refused { code, reason } => {
            out.done(&op.id, Outcome::Refused(with_advice(&op, code, reason)));
        }
        Failure::Reference(reason) => out.done(&op.id, Outcome::Refused(reason)),
        Failure::Token(reason) => out.done(&op.id, Outcome::Refused(format!("check bot_token: {reason}"))),
    }
}

/// A refusal with what mends it, where a permission does, or a person.
fn with_advice(op: &Op, code: u64, reason: String) -> String {
    let advice = match (code, &op.work) {
        (MISSING_ACCESS, _) => {
            "give the bot the permission View Channel there, or invite it to the server again"
        }
        (MISSING_PERMISSIONS, Work::React { .. }) => {
            "give the bot the permissions Add Reactions and Read Message History there"
        }
        (MISSING_PERMISSIONS, _) if !op.files().is_empty() => {
            "give the bot the permissions Send Messages (in threads: Send Messages in Threads) and Attach Files there"
        }
        (MISSING_PERMISSIONS, _) => {
            "give the bot the permission Send Messages there, in threads Send Messages in Threads"
        }
        (UNREACHABLE_USER, _) => {
            "that person takes no direct messages from the bot: they have to share a server with it, and allow them"
        }
        _ => return reason,
    };
    format!("{reason}; {advice}")
}

/// Whether doing it a second time changes nothing: the platform knows a message by its nonce, for a while.
fn is_repeatable(cx: &Context<Config>, state: &State, op: &Op) -> bool {
    let Work::Send(parts) = &op.work else { return true };
    if parts.edit.is_some() {
        return true;
    }
    if pending_command(cx, state, op).is_some() {
        return parts.sent == 0;
    }
    cx.now.saturating_sub(op.since) < NONCE_WINDOW_MS
}

/// Those who wait come back one after the other.
fn shut_out(cx: &Context<Config>, state: &mut State, op: Op, left: Duration, out: &mut Commands) {
    log(&op, SHUT_OUT, out);
    later(state, op, left + Duration::from_millis(cx.random_between(0, 1_000)), out);
}

fn later(state: &mut State, op: Op, after: Duration, out: &mut Commands) {
    let millis = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    out.done(&op.id, Outcome::RetryAfter(millis));
    state.ops.pause(op);
}

fn log(op: &Op, reason: &str, out: &mut Commands) {
    out.log(LogLevel::Warn, format!("{}: {} in attempt {}: {reason}", op.id, op.kind(), op.attempt));
}
