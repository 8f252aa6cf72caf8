//! One turn, from a committed message to a committed reply. What the provider and the tools said is put on disk
//! as it comes, so an attempt goes on where the one before was cut off.

use std::time::Duration;

use tracing::{info, warn};

use super::context::{self, Context};
use super::progress::Progress;
use super::{Work, budget, calls, completion, reply, session_gone, skills};
use prx_base::error::{Code, Error, Result};
use prx_host::CallError;
use prx_host::bindings::{provider as wire, skill};
use prx_store::{MAX_ATTEMPTS, Message, NEW, NewMessage, Role, Stop, ToolCall, TurnDone, TurnState};

/// Why a turn did not come to its end.
pub(super) struct Cut {
    /// What whoever waits for the reply is told.
    pub(super) error: Error,
    /// How many attempts it is worth in all.
    pub(super) attempts: u32,
    /// The provider does not take what it was asked.
    pub(super) refused: bool,
    /// What was said in it so far, for the conversation to keep.
    pub(super) said: Vec<NewMessage>,
}

impl Cut {
    /// For what would only fail again, or was tried often enough.
    pub(super) fn last(error: Error) -> Self {
        Self { error, attempts: 1, refused: false, said: Vec::new() }
    }
}

impl From<Error> for Cut {
    fn from(error: Error) -> Self {
        let again = matches!(error.code(), Code::Unavailable | Code::Internal);
        Self { attempts: if again { MAX_ATTEMPTS } else { 1 }, ..Self::last(error) }
    }
}

/// How a turn's work ended.
enum Ended {
    Answered(String),
    Stopped(Stop),
}

/// What a skill has to say about a turn.
enum Steer {
    Reply(String),
    Instruct(skill::Instructions),
    Nothing,
}

/// Runs a turn, or what is left of it, until there is a reply, someone stops it or its time is up; then commits what
/// was said.
pub(super) async fn run(work: &Work<'_>) -> Result<Message, Cut> {
    let mut progress = match &work.turn.progress {
        Some(kept) => serde_json::from_value(kept.clone()).map_err(Error::internal)?,
        None => Progress::default(),
    };
    if work.turn.attempts > MAX_ATTEMPTS {
        progress.close("not finished: the turn was given up");
        return Err(Cut { said: progress.messages, ..Cut::last(given_up()) });
    }
    let limit = Duration::from_secs(work.parts.config.current().agent.turn_timeout_secs);
    let ended = tokio::select! {
        biased;
        fate = work.called_off() => match fate {
            Some(why) => Ok(Ended::Stopped(why)),
            None => Err(Cut::last(session_gone(&work.turn.session))),
        },
        () = work.presence.worked(&work.parts.clock, limit) => Err(late(limit)),
        answered = Box::pin(answer(work, &mut progress)) => answered.map(Ended::Answered),
    };
    work.presence.parts(1);
    progress.break_off();
    match ended {
        Ok(Ended::Answered(text)) => {
            let said = NewMessage { attachments: progress.files(), ..NewMessage::assistant(text) };
            complete(work, progress, said, None).await
        }
        Ok(Ended::Stopped(why)) => {
            progress.close("not finished: the user stopped the turn");
            let text = std::mem::take(&mut progress.unfinished.text);
            info!(bytes = text.len(), "the turn was stopped");
            let said = NewMessage { stopped: true, ..NewMessage::assistant(text) };
            complete(work, progress, said, Some(why)).await
        }
        Err(cut) => {
            work.keep(&mut progress).await?;
            progress.close("not finished: the turn ended with an error");
            Err(Cut { said: progress.messages, ..cut })
        }
    }
}

fn given_up() -> Error {
    let message =
        format!("The gateway went down {MAX_ATTEMPTS} times while it worked on this; it is given up");
    Error::new(Code::Unavailable, message)
}

fn late(limit: Duration) -> Cut {
    let message = format!(
        "There was no answer within {limit:?} (agent.turn_timeout_secs); ask again, for less at once, or have the \
         operator raise it"
    );
    Cut::last(Error::new(Code::GatewayTimeout, message))
}

async fn answer(work: &Work<'_>, progress: &mut Progress) -> Result<String, Cut> {
    let instructions = match steer(work).await? {
        Steer::Reply(text) => {
            work.said.token(&text);
            return Ok(text);
        }
        Steer::Instruct(instructions) => Some(instructions),
        Steer::Nothing => None,
    };
    converse(work, progress, instructions).await
}

/// Answers what is meant for the gateway itself, or asks the skill that the message triggers, if one does.
async fn steer(work: &Work<'_>) -> Result<Steer, Cut> {
    let (parts, turn) = (work.parts, work.turn);
    if turn.inbound.is_some() && turn.message.content.trim() == NEW {
        return Ok(Steer::Reply("This is a new conversation: what was said before is left behind.".into()));
    }
    let skills = parts.plugins.skills();
    let Some(triggered) = skills::triggered(&skills, &turn.message.content) else {
        return Ok(Steer::Nothing);
    };
    let history = context::history(&parts.store, turn, parts.config.current().agent.history_messages)?;
    let earlier =
        history.iter().filter(|message| message.id != turn.message.id && message.role != Role::Tool);
    let input = skill::SkillInput {
        text: triggered.text,
        history: earlier.map(|message| message.content.clone()).collect(),
        session: turn.session.clone(),
    };
    info!(skill = triggered.name, "skill activated");
    let scope = context::scope(&parts.store, turn)?;
    match parts.plugins.activate(triggered.name, &input, scope).await {
        Ok(skill::Activation::Reply(text)) => Ok(Steer::Reply(text)),
        Ok(skill::Activation::Instruct(instructions)) => Ok(Steer::Instruct(instructions)),
        // It was disabled between the look and the call: the message is answered without it.
        Err(CallError::NoSuch(_)) => Ok(Steer::Nothing),
        Err(CallError::Fault(fault)) => Ok(Steer::Reply(format!("{}: {}", triggered.name, fault.message))),
        Err(failure) => {
            warn!(skill = triggered.name, %failure, "the skill failed; the message is answered without it");
            Ok(Steer::Nothing)
        }
    }
}

/// Lets the provider speak and call tools until it has a reply.
async fn converse(
    work: &Work<'_>,
    progress: &mut Progress,
    instructions: Option<skill::Instructions>,
) -> Result<String, Cut> {
    let context = Context::of(work, instructions)?;
    let limit = work.parts.config.current().agent.max_tool_calls_per_turn;
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
        work.keep(progress).await?;
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
    work.said.token(&note);
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
) -> Result<Message, Cut> {
    let (parts, turn) = (work.parts, work.turn);
    let Progress { mut messages, usage, happened, .. } = progress;
    let outbound = reply::last(turn, &said, stop).into_iter().collect();
    messages.push(said);
    let count = parts.store.session(&turn.session)?.turn_count + 1;
    let end_session = count >= parts.config.current().agent.max_turns;
    let done = TurnDone { id: turn.id(), messages, usage, outbound, happened, end_session };
    let mut completed = parts.store.complete_turn(done).await?;
    completed.messages.pop().ok_or_else(|| session_gone(&turn.session).into())
}

impl Work<'_> {
    /// Ends when the turn is not to go on: it is to end with what was said so far, or is over with its session.
    async fn called_off(&self) -> Option<Stop> {
        let mut word = self.word.clone();
        loop {
            match self.parts.store.turn_state(&self.turn.id()) {
                Ok(TurnState::Stopped(why)) => return Some(why),
                Ok(TurnState::Over) => return None,
                Ok(TurnState::GoesOn) if word.changed().await.is_ok() => {}
                // A store that has failed ends the turn elsewhere.
                Ok(TurnState::GoesOn) | Err(_) => std::future::pending().await,
            }
        }
    }

    /// Puts what the turn has come to on disk, counts what it has cost, and records what has happened in it.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn keep(&self, progress: &mut Progress) -> Result<()> {
        let kept = serde_json::to_value(&*progress).map_err(Error::internal)?;
        let usage = std::mem::take(&mut progress.usage);
        let happened = std::mem::take(&mut progress.happened);
        self.parts.store.record_progress(&self.turn.id(), kept, usage, happened).await
    }
}

fn tool_call(call: wire::ToolCall) -> ToolCall {
    ToolCall { id: call.id, name: call.name, arguments: call.arguments }
}
