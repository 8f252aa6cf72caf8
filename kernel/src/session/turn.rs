//! One turn, from a committed message to a committed reply. What the provider and the tools said is put on disk
//! as it comes, so an attempt goes on where the one before was cut off.

use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::stream::{Said, TurnEvent};
use super::{Parts, context, reply, session_gone, skills};
use crate::error::{Code, Error, Result};
use crate::events::Kind;
use crate::plugin::bindings::{provider as wire, skill};
use crate::plugin::{CallError, Scope};
use crate::store::{MAX_ATTEMPTS, Message, NewMessage, Role, SessionStatus, ToolCall, Turn, TurnDone, Usage};
use crate::tool::{CallContext, ToolResult, ToolSummary};

/// How long one tool may take, whatever it waits for.
const TOOL_DEADLINE: Duration = Duration::from_secs(60);

/// Why a turn did not come to its end.
pub(super) struct Cut {
    /// What whoever waits for the reply is told.
    pub(super) error: Error,
    /// How many attempts it is worth in all.
    pub(super) attempts: u32,
}

/// For what goes away by itself: a provider that is overloaded, disabled, or being replaced.
const PATIENT: u32 = MAX_ATTEMPTS;
/// For a defect, which may have been an accident but is not likely to go away. Fewer than lead to a quarantine, so
/// that one message can't take a provider from everyone.
const WARY: u32 = 2;
/// For what would only fail again.
const ONCE: u32 = 1;

impl From<Error> for Cut {
    fn from(error: Error) -> Self {
        let attempts =
            if matches!(error.code(), Code::Unavailable | Code::Internal) { PATIENT } else { ONCE };
        Self { error, attempts }
    }
}

/// What a turn has come to so far.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// What was said after the user's message.
    messages: Vec<NewMessage>,
    usage: Usage,
    tool_calls: u32,
}

/// What a skill has to say about a turn.
enum Steer {
    Reply(String),
    Instruct(skill::Instructions),
    Nothing,
}

/// Runs a turn, or what is left of it, and commits its reply.
pub(super) async fn run(parts: &Parts, turn: &Turn, said: &Said) -> Result<Message, Cut> {
    let mut progress = match &turn.progress {
        Some(kept) => serde_json::from_value(kept.clone()).map_err(Error::internal)?,
        None => Progress::default(),
    };
    let text = match steer(parts, turn).await? {
        Steer::Reply(text) => {
            said.token(&text);
            text
        }
        Steer::Instruct(instructions) => {
            converse(parts, turn, said, &mut progress, Some(instructions)).await?
        }
        Steer::Nothing => converse(parts, turn, said, &mut progress, None).await?,
    };
    complete(parts, turn, progress, text).await
}

/// Asks the skill that the message triggers, if one does.
async fn steer(parts: &Parts, turn: &Turn) -> Result<Steer, Cut> {
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
    match parts.plugins.activate(triggered.name, &input, context::scope(turn)).await {
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
    parts: &Parts,
    turn: &Turn,
    said: &Said,
    progress: &mut Progress,
    instructions: Option<skill::Instructions>,
) -> Result<String, Cut> {
    let config = parts.config.current();
    let limit = config.agent.max_tool_calls_per_turn;
    let mut request = request(parts, turn, instructions)?;
    request.messages.extend(progress.messages.iter().cloned().map(context::message));
    loop {
        let completion = complete_once(parts, &config.provider.name, &request, said).await?;
        progress.usage.input += completion.usage.input;
        progress.usage.output += completion.usage.output;
        if completion.tool_calls.is_empty() || request.tools.is_empty() {
            return Ok(completion.text);
        }
        let from = progress.messages.len();
        let calls: Vec<ToolCall> = completion.tool_calls.into_iter().map(tool_call).collect();
        progress
            .messages
            .push(NewMessage { tool_calls: calls.clone(), ..NewMessage::assistant(completion.text) });
        let room = usize::try_from(limit.saturating_sub(progress.tool_calls)).unwrap_or(usize::MAX);
        let results = call_tools(parts, turn, said, &calls, room).await;
        progress.tool_calls += u32::try_from(calls.len().min(room)).unwrap_or(u32::MAX);
        progress.messages.extend(results);
        let kept = serde_json::to_value(&*progress).map_err(Error::internal)?;
        parts.store.record_progress(&turn.id(), kept).await?;
        request.messages.extend(progress.messages[from..].iter().cloned().map(context::message));
        if progress.tool_calls >= limit {
            // One last word without tools: the results above say why.
            request.tools.clear();
        }
    }
}

fn request(parts: &Parts, turn: &Turn, instructions: Option<skill::Instructions>) -> Result<wire::Request> {
    let config = parts.config.current();
    let skill::Instructions { text, tools: allowed } =
        instructions.unwrap_or(skill::Instructions { text: String::new(), tools: Vec::new() });
    let wanted = |tool: &ToolSummary| allowed.is_empty() || allowed.contains(&tool.name);
    let history = context::history(&parts.store, turn, config.agent.history_messages)?;
    let system: Vec<&str> =
        [config.agent.system_prompt.as_str(), &text].into_iter().filter(|s| !s.is_empty()).collect();
    Ok(wire::Request {
        model: config.provider.model.clone(),
        system: system.join("\n\n"),
        messages: history.into_iter().map(|kept| context::message(kept.said())).collect(),
        tools: parts.tools.list().into_iter().filter(wanted).map(context::spec).collect(),
        options: "{}".into(),
    })
}

/// One completion, its pieces passed on as they come.
async fn complete_once(
    parts: &Parts,
    provider: &str,
    request: &wire::Request,
    said: &Said,
) -> Result<wire::Completion, Cut> {
    let (deltas, mut pieces) = mpsc::channel(64);
    let completing = parts.plugins.complete(provider, request, deltas, Scope::default());
    let passing_on = async {
        while let Some(delta) = pieces.recv().await {
            if let crate::plugin::bindings::sink::Delta::Text(text) = delta {
                said.token(&text);
            }
        }
    };
    let (completed, ()) = tokio::join!(completing, passing_on);
    match completed {
        Ok(Ok(completion)) => Ok(completion),
        Ok(Err(refused)) => Err(refused_by(provider, &refused)),
        Err(failure) => Err(cut_by(provider, &failure)),
    }
}

fn refused_by(provider: &str, refused: &wire::ProviderError) -> Cut {
    let code = if refused.retryable { Code::Unavailable } else { Code::BadGateway };
    let message = format!("The provider {provider} did not answer: {}", refused.fault.message);
    Cut { error: Error::new(code, message), attempts: if refused.retryable { PATIENT } else { ONCE } }
}

fn cut_by(provider: &str, failure: &CallError) -> Cut {
    match failure {
        CallError::NoSuch(_) | CallError::Stopped => {
            let message = format!(
                "There is no provider {provider} now: enable its plugin, or set provider.name to one there is"
            );
            Cut { error: Error::new(Code::Unavailable, message), attempts: PATIENT }
        }
        failure => {
            let message = format!("The provider {provider} failed: {failure}");
            let attempts = if failure.is_defect() { WARY } else { PATIENT };
            Cut { error: Error::new(Code::BadGateway, message), attempts }
        }
    }
}

/// Calls tools side by side, as many as there is room for; the rest are answered with why they were not called.
async fn call_tools(
    parts: &Parts,
    turn: &Turn,
    said: &Said,
    calls: &[ToolCall],
    room: usize,
) -> Vec<NewMessage> {
    let one = |(index, call): (usize, &ToolCall)| {
        let call = call.clone();
        async move {
            let ToolCall { id, name, arguments } = call;
            let arguments = serde_json::from_str(&arguments).unwrap_or(Value::String(arguments));
            said.event(TurnEvent::ToolCall {
                id: id.clone(),
                name: name.clone(),
                arguments: arguments.clone(),
            });
            let result = if index < room {
                call_tool(parts, turn, &id, &name, &arguments).await
            } else {
                ToolResult::failed("not called: the turn has used up agent.max_tool_calls_per_turn")
            };
            let ToolResult { content, is_error, .. } = result;
            said.event(TurnEvent::ToolResult { id: id.clone(), content: content.clone(), is_error });
            NewMessage::tool(id, content, is_error)
        }
    };
    join_all(calls.iter().enumerate().map(one)).await
}

async fn call_tool(parts: &Parts, turn: &Turn, id: &str, name: &str, arguments: &Value) -> ToolResult {
    let session = Some(turn.session.clone());
    let scope = context::scope(turn);
    let context = CallContext { session, call: id.into(), user: None, scope };
    let called = parts.tools.call(name, arguments, context);
    match tokio::time::timeout(TOOL_DEADLINE, called).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => ToolResult::failed(error.to_string()),
        Err(_) => ToolResult::failed(format!("{name} did not answer within {} s", TOOL_DEADLINE.as_secs())),
    }
}

async fn complete(parts: &Parts, turn: &Turn, progress: Progress, text: String) -> Result<Message, Cut> {
    let Progress { mut messages, usage, .. } = progress;
    messages.push(NewMessage::assistant(text.clone()));
    let count = parts.store.session(&turn.session)?.turn_count + 1;
    let done = TurnDone {
        id: turn.id(),
        messages,
        usage,
        outbound: reply::outbound(turn, &text).into_iter().collect(),
        end_session: count >= parts.config.current().agent.max_turns,
    };
    let mut completed = parts.store.complete_turn(done).await?;
    let message = completed.messages.pop().ok_or_else(|| session_gone(&turn.session))?;
    let data = json!({ "session_id": turn.session, "message_id": message.id });
    parts.events.publish(Kind::MessageSent, data);
    if completed.session.status == SessionStatus::Terminated {
        parts.events.publish(Kind::SessionTerminated, json!({ "session_id": turn.session }));
    }
    Ok(message)
}

fn tool_call(call: wire::ToolCall) -> ToolCall {
    ToolCall { id: call.id, name: call.name, arguments: call.arguments }
}
