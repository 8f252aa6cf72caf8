//! One turn, from a committed message to a committed reply, or to its cancel or timeout. What the provider and the tools
//! said is put on disk as it comes, so a retry goes on where the attempt before was cut off.

use std::time::Duration;

use tracing::{info, warn};

use super::completion::lock;
use super::course::{Course, Finished};
use super::failure::{TurnFailure, session_terminated};
use super::filtering;
use super::progress::Progress;
use super::reply;
use super::work::Work;
use prx_base::error::{Code, Error};
use prx_host::bindings::agent::StoppedBy;
use prx_store::{MAX_ATTEMPTS, Message, NewMessage, Stop, TurnDone, TurnState};

/// How a turn's work ended.
enum TurnEnd {
    Finished(Box<Finished>),
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
        filtering::transcript(work, &mut progress).await?;
        return Err(TurnFailure { said: progress.messages, ..TurnFailure::permanent(given_up()) });
    }
    let mut course = Course::of(work, progress).await?;
    let ended = work_to_end(work, &mut course).await;
    work.timer.set_tasks(1);
    let text = std::mem::take(&mut lock(&course.live).text);
    let usage = lock(&course.live).spent_on(&text);
    course.progress.usage = course.progress.usage.plus(usage);
    match ended {
        Ok(TurnEnd::Finished(finished)) => complete(work, course.progress, *finished, None).await,
        Ok(TurnEnd::Stopped(why)) => {
            course.progress.close("not finished: the user stopped the turn");
            info!(bytes = text.len(), "the turn was stopped");
            let by = match why {
                Stop::Asked => StoppedBy::Person,
                Stop::Interrupted => StoppedBy::NewerMessage,
            };
            let mut finished = course.stop(by, &text).await.unwrap_or_else(|failure| {
                warn!(error = %failure.error, "the agent has no last words");
                Finished::saying(NewMessage::assistant(""))
            });
            if finished.said.content.is_empty() {
                finished.said = NewMessage { stopped: true, ..NewMessage::assistant(text) };
            }
            complete(work, course.progress, finished, Some(why)).await
        }
        Err(failure) if is_silence(&failure) => {
            warn!(error = %failure.error, "the answer broke off");
            course.progress.close("not finished: the answer broke off");
            match last_words(work, &mut course, &text).await {
                Some(finished) => complete(work, course.progress, finished, None).await,
                None => give_up(course, failure).await,
            }
        }
        Err(failure) => give_up(course, failure).await,
    }
}

/// What is said where nothing came any more: what the agent says to that, or what had come by then; none where that is
/// nothing.
async fn last_words(work: &Work<'_>, course: &mut Course<'_>, text: &str) -> Option<Finished> {
    match course.stop(StoppedBy::Deadline, text).await {
        Ok(finished) if !finished.said.content.is_empty() => return Some(finished),
        Ok(_) => {}
        Err(failure) => warn!(error = %failure.error, "the agent has no last words"),
    }
    if text.trim().is_empty() {
        return None;
    }
    let broke_off = format!("\n\n{}", work.words().broke_off);
    work.reply.token(&broke_off);
    Some(Finished::saying(NewMessage::assistant(text.to_owned() + &broke_off)))
}

async fn give_up(mut course: Course<'_>, failure: TurnFailure) -> Result<Message, TurnFailure> {
    course.save().await?;
    let (work, mut progress) = (course.work, course.progress);
    progress.close("not finished: the turn ended with an error");
    filtering::transcript(work, &mut progress).await?;
    Err(TurnFailure { said: progress.messages, ..failure })
}

/// Ends a turn with these words before its agent has heard of it.
pub(super) async fn end_with(work: &Work<'_>, words: String) -> Result<Message, TurnFailure> {
    complete(work, Progress::default(), Finished::saying(NewMessage::assistant(words)), None).await
}

/// Whether nothing came any more.
fn is_silence(failure: &TurnFailure) -> bool {
    failure.error.code() == Code::GatewayTimeout
}

/// Works on an answer until it is there, the turn is cancelled, or it has worked for `agent.turn_timeout_secs` without a
/// word of a model.
async fn work_to_end<'a>(work: &'a Work<'a>, course: &mut Course<'a>) -> Result<TurnEnd, TurnFailure> {
    let base = &work.services.base;
    let timeout = Duration::from_secs(base.config.current().agent.turn_timeout_secs);
    tokio::select! {
        biased;
        stopped = cancelled(work) => match stopped {
            Some(why) => Ok(TurnEnd::Stopped(why)),
            None => Err(TurnFailure::permanent(session_terminated(&work.turn.session))),
        },
        () = work.timer.timeout(&base.clock, timeout) => Err(timed_out(timeout)),
        finished = Box::pin(course.go_on()) => finished.map(|finished| TurnEnd::Finished(Box::new(finished))),
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

async fn complete(
    work: &Work<'_>,
    mut progress: Progress,
    finished: Finished,
    stop: Option<Stop>,
) -> Result<Message, TurnFailure> {
    let (services, turn) = (work.services, work.turn);
    let Finished { before, mut said, kept, end_session, is_silent, is_handed_over } = finished;
    said.attachments = progress.files();
    // What is handed over is part of the transcript.
    if !is_handed_over {
        filtering::reply(work, &mut said).await?;
    }
    filtering::transcript(work, &mut progress).await?;
    let Progress { mut messages, usage, events, .. } = progress;
    let outbound = match is_silent || is_handed_over {
        true => None,
        false => reply::last(work, &said, stop),
    };
    if !is_handed_over {
        messages.push(said);
    }
    let count = services.store.session(&turn.session)?.turn_count + 1;
    let end_session = end_session || count >= services.base.config.current().agent.max_turns;
    let outbound = before.into_iter().chain(outbound).collect();
    let done = TurnDone { id: turn.id(), messages, usage, outbound, events, end_session, agent: kept };
    let mut completed = services.store.complete_turn(done).await?;
    if is_handed_over {
        // What the gateway's own tools have answered to the same answer of the model stands behind it.
        while completed.messages.pop_if(|said| said.tool_calls.is_empty()).is_some() {}
    }
    let last = completed.messages.pop().ok_or_else(|| session_terminated(&turn.session))?;
    work.reply.release(&last.content);
    Ok(last)
}
