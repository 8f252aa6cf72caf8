//! One turn, from a committed message to a committed reply, or to its cancel or timeout. What the provider and the tools
//! said is put on disk as it comes, so a retry goes on where the attempt before was cut off.

use std::time::Duration;

use tracing::{info, warn};

use super::command::{self, NEW_CONVERSATION};
use super::context::Context;
use super::failure::{TurnFailure, session_terminated};
use super::progress::Progress;
use super::skills::SkillOutcome;
use super::work::Work;
use super::{budget, calls, completion, reply, skills};
use prx_base::error::{Code, Error};
use prx_host::bindings::{provider as wire, skill};
use prx_store::{Command, MAX_ATTEMPTS, Message, NewMessage, Stop, ToolCall, TurnDone, TurnState};

/// Ends an answer of which nothing more came.
const BROKE_OFF: &str = "\n\n[The answer broke off here: nothing more of it came. Ask me to go on.]";

/// How a turn's work ended.
enum TurnEnd {
    Answered(String),
    Stopped(Stop),
}

/// Runs a turn, or what is left of it, until there is a reply, it is cancelled or its timeout is over; then commits what
/// was said.
pub(super) async fn run(work: &Work<'_>) -> Result<Message, TurnFailure> {
    let mut progress = match &work.turn.progress {
        Some(kept) => serde_json::from_value(kept.clone()).map_err(Error::internal)?,
        None => Progress::default(),
    };
    if work.turn.attempts > MAX_ATTEMPTS {
        progress.close("not finished: the turn was given up");
        return Err(TurnFailure { said: progress.messages, ..TurnFailure::permanent(given_up()) });
    }
    let ended = work_to_end(work, &mut progress).await;
    work.timer.set_tasks(1);
    progress.break_off();
    match ended {
        Ok(TurnEnd::Answered(text)) => {
            let (attachments, provider_data) = (progress.files(), progress.provider_data.take());
            let said = NewMessage { attachments, provider_data, ..NewMessage::assistant(text) };
            complete(work, progress, said, None).await
        }
        Ok(TurnEnd::Stopped(why)) => {
            progress.close("not finished: the user stopped the turn");
            let text = std::mem::take(&mut progress.unfinished.text);
            info!(bytes = text.len(), "the turn was stopped");
            let said = NewMessage { stopped: true, ..NewMessage::assistant(text) };
            complete(work, progress, said, Some(why)).await
        }
        Err(failure) if is_silence(&failure) && !progress.unfinished.text.trim().is_empty() => {
            warn!(error = %failure.error, "the answer broke off");
            progress.close("not finished: the answer broke off");
            let text = std::mem::take(&mut progress.unfinished.text) + BROKE_OFF;
            work.reply.token(BROKE_OFF);
            let said = NewMessage { attachments: progress.files(), ..NewMessage::assistant(text) };
            complete(work, progress, said, None).await
        }
        Err(failure) => {
            work.save(&mut progress).await?;
            progress.close("not finished: the turn ended with an error");
            Err(TurnFailure { said: progress.messages, ..failure })
        }
    }
}

/// Whether nothing came any more. What had come by then is kept.
fn is_silence(failure: &TurnFailure) -> bool {
    failure.error.code() == Code::GatewayTimeout
}

/// Works on an answer until it is there, the turn is cancelled, or it has worked for `agent.turn_timeout_secs` without a
/// word of a model.
async fn work_to_end(work: &Work<'_>, progress: &mut Progress) -> Result<TurnEnd, TurnFailure> {
    let base = &work.services.base;
    let timeout = Duration::from_secs(base.config.current().agent.turn_timeout_secs);
    tokio::select! {
        biased;
        stopped = cancelled(work) => match stopped {
            Some(why) => Ok(TurnEnd::Stopped(why)),
            None => Err(TurnFailure::permanent(session_terminated(&work.turn.session))),
        },
        () = work.timer.timeout(&base.clock, timeout) => Err(timed_out(timeout)),
        answered = Box::pin(answer(work, progress)) => answered.map(TurnEnd::Answered),
    }
}

/// Ends when the turn is cancelled: it is to end with what was said so far, or is over with its session.
async fn cancelled(work: &Work<'_>) -> Option<Stop> {
    let mut wakeup = work.wakeup.clone();
    loop {
        match work.services.store.turn_state(&work.turn.id()) {
            Ok(TurnState::Stopped(why)) => return Some(why),
            Ok(TurnState::Over) => return None,
            Ok(TurnState::GoesOn) if wakeup.changed().await.is_ok() => {}
            Ok(TurnState::GoesOn) => std::future::pending().await,
            // A failure of the store ends the turn only if it gets to write something before that is over.
            Err(_) if !work.services.store.is_healthy() => work.services.store.recovered().await,
            Err(_) => std::future::pending().await,
        }
    }
}

fn given_up() -> Error {
    let message =
        format!("The gateway went down {MAX_ATTEMPTS} times while it worked on this; it is given up");
    Error::new(Code::Unavailable, message)
}

fn timed_out(timeout: Duration) -> TurnFailure {
    let message = format!(
        "There was no word of an answer within {timeout:?} (agent.turn_timeout_secs); ask again, for less at once, or have the \
         operator raise it"
    );
    TurnFailure::permanent(Error::new(Code::GatewayTimeout, message))
}

/// Answers what is meant for the gateway itself; the skill that the message triggers; or the model.
async fn answer(work: &Work<'_>, progress: &mut Progress) -> Result<String, TurnFailure> {
    let is_inbound = work.turn.inbound.is_some();
    if is_inbound && command::command(&work.turn.message.content) == Some(Command::NewSession) {
        return Ok(reply_at_once(work, NEW_CONVERSATION.into()));
    }
    match skills::activate(work).await? {
        SkillOutcome::Reply(text) => Ok(reply_at_once(work, text)),
        SkillOutcome::Instruct(instructions) => converse(work, progress, Some(instructions)).await,
        SkillOutcome::Nothing => converse(work, progress, None).await,
    }
}

fn reply_at_once(work: &Work<'_>, text: String) -> String {
    work.reply.token(&text);
    text
}

/// Has the provider speak and call tools until it has a reply.
async fn converse(
    work: &Work<'_>,
    progress: &mut Progress,
    instructions: Option<skill::Instructions>,
) -> Result<String, TurnFailure> {
    let context = Context::of(work, instructions).await?;
    let limit = work.services.base.config.current().agent.max_tool_calls_per_turn;
    loop {
        calls::make(work, &context, progress).await?;
        budget::check(work)?;
        let completion = completion::complete(work, &context, progress).await?;
        if completion.tool_calls.is_empty() || limit == 0 {
            return Ok(finished(work, completion));
        }
        // It was told before that there is nothing left.
        if progress.calls().count() as u64 > u64::from(limit) {
            return Ok(last_words(completion.text, limit));
        }
        progress.ask(completion.text, completion.tool_calls.into_iter().map(tool_call).collect());
        work.save(progress).await?;
    }
}

/// An answer, and why it is not what it should be, where the provider says that.
fn finished(work: &Work<'_>, completion: wire::Completion) -> String {
    let wire::Completion { mut text, stop, .. } = completion;
    let note = match stop {
        wire::StopReason::Length => {
            "[The answer was cut off here: it reached the greatest length that the provider allows (max_tokens in its \
             settings). Ask me to go on.]"
        }
        wire::StopReason::Refused if text.trim().is_empty() => "[The model will not answer this.]",
        _ => return text,
    };
    let gap = if text.is_empty() { "" } else { "\n\n" };
    let note = format!("{gap}{note}");
    work.reply.token(&note);
    text.push_str(&note);
    text
}

fn last_words(text: String, limit: u32) -> String {
    match text.is_empty() {
        true => {
            format!("There is no answer yet, and this turn has made its {limit} tool calls. Ask me to go on.")
        }
        false => text,
    }
}

async fn complete(
    work: &Work<'_>,
    progress: Progress,
    said: NewMessage,
    stop: Option<Stop>,
) -> Result<Message, TurnFailure> {
    let (services, turn) = (work.services, work.turn);
    let Progress { mut messages, usage, events, .. } = progress;
    let outbound = reply::last(turn, &said, stop).into_iter().collect();
    messages.push(said);
    let count = services.store.session(&turn.session)?.turn_count + 1;
    let end_session = count >= services.base.config.current().agent.max_turns;
    let done = TurnDone { id: turn.id(), messages, usage, outbound, events, end_session };
    let mut completed = services.store.complete_turn(done).await?;
    completed.messages.pop().ok_or_else(|| session_terminated(&turn.session).into())
}

fn tool_call(call: wire::ToolCall) -> ToolCall {
    ToolCall { id: call.id, name: call.name, arguments: call.arguments }
}
