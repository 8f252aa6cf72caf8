//! What the agent has to say goes out, part by part, and its outcome is told.

use std::time::Duration;

use prx_sdk::connector::{Commands, Context, HttpOutcome, LogLevel, Outbound, Outcome};
use prx_sdk::upload::{GONE, TOO_LARGE};
use serde_json::value::RawValue;

use crate::api::{Failure, Sent};
use crate::call;
use crate::config::Config;
use crate::op::{Op, Work};
use crate::speech::{EDIT, Markup};
use crate::state::State;

/// The pause of an operation after a refusal of the token, which worked before.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

const WITHOUT_RICH: &str = "the Bot API server is older than 10.1, or has no rich messages: tables and formulas go out as plain HTML, \
    for a day or until the channel starts anew";

const LOST: &str = "the platform's answer was lost";

/// Something to do on the platform: from its beginning, or from where an earlier attempt came to.
pub(crate) fn outbound(cx: &Context<Config>, state: &mut State, outbound: Outbound, out: &mut Commands) {
    let id = outbound.id.clone();
    let maybe_repeats = outbound.maybe_duplicate;
    if let Some(op) = state.ops.take_begun(&id) {
        let op = Op { attempt: outbound.attempt, ..op };
        return request(cx, state, op.marked(maybe_repeats), out);
    }
    match Op::new(outbound).map(|op| op.map(|op| op.marked(maybe_repeats))) {
        Ok(Some(op)) if op.work == Work::Typing => typing(cx, state, &op, out),
        // There is nothing to show yet.
        Ok(Some(Op { work: Work::Draft { text, .. }, .. })) if text.trim().is_empty() => {
            out.done(id, Outcome::Ok(None));
        }
        Ok(Some(mut op)) => {
            let shown = op.text().map(|text| state.continued.parts(&text)).unwrap_or_default();
            if op.follow(shown) { request(cx, state, op, out) } else { finish(state, op, out) }
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
    match call::answer(outcome) {
        Ok(result) => succeeded(cx, state, op, result, out),
        Err(failure) => failed(cx, state, op, failure, out),
    }
}

/// Says of operations that they are at an end for now, for the answers to their calls will not come.
pub(crate) fn resume(state: &mut State, in_flight: &[u64], out: &mut Commands) {
    for op in state.ops.pause_all_but(in_flight) {
        let lost =
            if op.is_repeatable() { Outcome::RetryAfter(0) } else { Outcome::Unknown(LOST.to_owned()) };
        out.done(op.id, lost);
    }
}

fn request(cx: &Context<Config>, state: &mut State, mut op: Op, out: &mut Commands) {
    if let Some(left) = state.cooldown.wait(cx.now) {
        let after = left + Duration::from_millis(cx.random_between(0, 1000));
        return later(state, op, after, call::COOLING, out);
    }
    let chat = state.chat_of(op.chat.id);
    op.choose_markup(cx.config.rich_messages() && state.rich.may_have(cx.now));
    if let Some(left) = state.pace.wait(cx.now, chat, op.method() == EDIT) {
        return wait(state, op, left, out);
    }
    op.token = state.token();
    out.http(op.call(cx, chat).token(op.token).lane(format!("chat:{chat}")));
    state.ops.push(op);
}

/// Nobody misses a sign of typing that was lost, and no message should wait for one.
fn typing(cx: &Context<Config>, state: &mut State, op: &Op, out: &mut Commands) {
    let chat = state.chat_of(op.chat.id);
    if state.cooldown.is_over() && !state.pace.is_held(cx.now, chat) {
        let token = state.token();
        out.http(op.call(cx, chat).token(token).timeout(call::CALL_TIMEOUT));
    }
    out.done(&op.id, Outcome::Ok(None));
}

fn succeeded(cx: &Context<Config>, state: &mut State, op: Op, result: &RawValue, out: &mut Commands) {
    let sent = serde_json::from_str::<Sent>(result.get()).ok();
    go_on(cx, state, op, sent.map(|sent| sent.message_id), out);
}

/// A call is made and has made this message: on to the next one.
fn go_on(cx: &Context<Config>, state: &mut State, mut op: Op, message: Option<i64>, out: &mut Commands) {
    if op.advance(message) { request(cx, state, op, out) } else { finish(state, op, out) }
}

/// All is done: what shows the text is remembered, as it may grow.
fn finish(state: &mut State, mut op: Op, out: &mut Commands) {
    if let Some((text, parts)) = op.became() {
        state.continued.note(&text, parts);
    }
    out.done(&op.id, Outcome::Ok(op.message_id()));
}

fn failed(cx: &Context<Config>, state: &mut State, mut op: Op, failure: Failure, out: &mut Commands) {
    if op.markup() == Markup::Rich && leaves_rich(cx, state, &mut op, &failure, out) {
        return request(cx, state, op, out);
    }
    match failure {
        Failure::Refused(reason) if !op.plain && is_about_marks(&reason) => {
            op.plain = true;
            request(cx, state, op, out);
        }
        Failure::Refused(reason) if is_about_thread(&reason) && op.leave_thread() => {
            request(cx, state, op, out);
        }
        Failure::Refused(reason) if is_about_pictures(&reason) && op.degrade() => {
            request(cx, state, op, out);
        }
        Failure::Refused(reason) if is_about_size(&reason) && op.leave_out(TOO_LARGE, |_| true) => {
            request(cx, state, op, out);
        }
        Failure::Server(reason) if op.leave_out(GONE, |file| file.is_missing_in(&reason)) => {
            request(cx, state, op, out);
        }
        Failure::Refused(reason) if is_done_already(&op, &reason) => go_on(cx, state, op, None, out),
        Failure::Refused(reason) | Failure::Token(reason) if is_unknown_here(&op, &reason) => {
            out.done(&op.id, Outcome::Unsupported);
        }
        Failure::Migrated(new) if state.chat_of(op.chat.id) != new => {
            state.chat_moved(op.chat.id, new);
            request(cx, state, op, out);
        }
        Failure::RateLimited(Some(seconds)) => {
            let after = Duration::from_secs(seconds.into());
            state.pace.hold(cx.now, state.chat_of(op.chat.id), after);
            later(state, op, after, "the platform asks to slow down", out);
        }
        Failure::RateLimited(None) => {
            let left = state.cooldown.left(cx.now).unwrap_or_default();
            let after = left + Duration::from_millis(cx.random_between(0, 1000));
            later(state, op, after, call::COOLING, out);
        }
        Failure::Token(reason) if state.token_worked => later(state, op, REFUSED_PAUSE, &reason, out),
        Failure::Server(reason) | Failure::Conflict(reason) => {
            let after = cx.backoff(op.attempt.saturating_sub(1));
            later(state, op, after, &reason, out);
        }
        Failure::Unknown(reason) if op.is_repeatable() => {
            let after = cx.backoff(op.attempt.saturating_sub(1));
            later(state, op, after, &reason, out);
        }
        Failure::Unknown(reason) => {
            out.done(&op.id, Outcome::Unknown(reason));
            state.ops.pause(op);
        }
        Failure::Refused(reason) => out.done(&op.id, Outcome::Refused(with_advice(reason))),
        Failure::Token(reason) => out.done(&op.id, Outcome::Refused(format!("check bot_token: {reason}"))),
        Failure::Migrated(_) => out.done(&op.id, Outcome::Refused("the group moves without end".to_owned())),
    }
}

/// Whether the part that was not taken as a rich message goes out as plain HTML now. Nothing of it is there: what may have
/// been done is not done in another form.
fn leaves_rich(
    cx: &Context<Config>,
    state: &mut State,
    op: &mut Op,
    failure: &Failure,
    out: &mut Commands,
) -> bool {
    let leaves = match failure {
        Failure::Refused(reason) | Failure::Token(reason) if is_without_rich(op, reason) => {
            if state.rich.lacks(cx.now) {
                out.log(LogLevel::Info, format!("{}: {reason}; {WITHOUT_RICH}", op.method()));
            }
            true
        }
        Failure::Refused(reason) => {
            let leaves = !is_about_thread(reason) && !is_done_already(op, reason) && advice(reason).is_none();
            if leaves {
                out.log(
                    LogLevel::Debug,
                    format!("{}: {} goes out in another form: {reason}", op.id, op.method()),
                );
            }
            leaves
        }
        // What stands in front of the server may know no such method either.
        Failure::Server(_) => op.attempt > 1,
        _ => false,
    };
    leaves && op.leave_rich()
}

/// A server from before Bot API 10.1: it knows no such method, or sees no text in an edit.
fn is_without_rich(op: &Op, reason: &str) -> bool {
    let said = reason.to_ascii_lowercase();
    let is_unknown =
        ["not found", "unknown", "unsupported", "not supported"].iter().any(|sign| said.contains(sign));
    let sees_no_text =
        ["text must be non-empty", "message text is empty"].iter().any(|sign| said.contains(sign));
    said.starts_with("not found")
        || (said.contains("method") && is_unknown)
        || (op.method() == EDIT && sees_no_text)
}

fn later(state: &mut State, op: Op, after: Duration, reason: &str, out: &mut Commands) {
    out.log(LogLevel::Warn, format!("{}: {} in attempt {}: {reason}", op.id, op.method(), op.attempt));
    wait(state, op, after, out);
}

fn wait(state: &mut State, op: Op, after: Duration, out: &mut Commands) {
    let millis = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    out.done(&op.id, Outcome::RetryAfter(millis));
    state.ops.pause(op);
}

/// A refusal with what mends it, where a permission does, or a person.
fn with_advice(reason: String) -> String {
    advice(&reason).map_or(reason.clone(), |advice| format!("{reason}; {advice}"))
}

/// What mends a refusal, where that is known.
fn advice(reason: &str) -> Option<&'static str> {
    const ADVICE: [(&[&str], &str); 4] = [
        (&["bot was kicked", "bot is not a member"], "add the bot to the group again"),
        (
            &[
                "not enough rights",
                "have no rights",
                "write_forbidden",
                "send_plain_forbidden",
                "send_media_forbidden",
                "need administrator rights",
            ],
            "in the group's permissions, or the bot's own as an administrator, allow it to send messages, and media for files",
        ),
        (&["blocked by the user", "user is deactivated"], "only that person can unblock the bot"),
        (&["can't initiate conversation"], "that person has to write to the bot first"),
    ];
    let said = reason.to_ascii_lowercase();
    let found = ADVICE.iter().find(|(signs, _)| signs.iter().any(|sign| said.contains(sign)));
    found.map(|(_, advice)| *advice)
}

fn is_about_marks(reason: &str) -> bool {
    ["can't parse entities", "text must be non-empty", "message text is empty"]
        .iter()
        .any(|sign| reason.to_ascii_lowercase().contains(sign))
}

/// A topic that was deleted, or closed to all but administrators.
fn is_about_thread(reason: &str) -> bool {
    ["message thread not found", "topic_deleted", "topic_closed", "topic_id_invalid"]
        .iter()
        .any(|sign| reason.to_ascii_lowercase().contains(sign))
}

fn is_about_pictures(reason: &str) -> bool {
    ["photo", "image"].iter().any(|sign| reason.to_ascii_lowercase().contains(sign))
}

fn is_about_size(reason: &str) -> bool {
    ["too large", "too big"].iter().any(|sign| reason.to_ascii_lowercase().contains(sign))
}

fn is_done_already(op: &Op, reason: &str) -> bool {
    match op.work {
        Work::Say(_) => ["message is not modified", "message to delete not found"]
            .iter()
            .any(|sign| reason.contains(sign)),
        Work::Delete { .. } => reason.contains("message to delete not found"),
        _ => false,
    }
}

/// A server or a chat without such a thing: drafts and reactions are younger than the rest.
fn is_unknown_here(op: &Op, reason: &str) -> bool {
    match op.work {
        Work::Draft { .. } => {
            ["Not Found", "method not found", "PEER_INVALID"].iter().any(|sign| reason.contains(sign))
        }
        Work::React { .. } => reason.contains("method not found"),
        _ => false,
    }
}
