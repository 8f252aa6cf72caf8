//! The tools that a model asks for in one answer, called side by side.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};

use super::Work;
use super::approval::{self, Verdict};
use super::context::Context;
use super::progress::Progress;
use super::stream::TurnEvent;
use crate::tool::{CallContext, Executed, ToolResult};
use prx_base::config::Policy;
use prx_base::error::Result;
use prx_base::events::NewEvent;
use prx_store::{NewMessage, ToolCall};

/// Makes every call that has no result yet, as many as the turn may make; the rest are answered with why they were not
/// made. What is done is kept while others are at work: after a crash it is not done again.
///
/// # Errors
/// The store has failed.
pub(super) async fn make(work: &Work<'_>, context: &Context, progress: &mut Progress) -> Result<()> {
    let limit = work.parts.config.current().agent.max_tool_calls_per_turn;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let open = progress.open_calls();
    if open.is_empty() {
        return Ok(());
    }
    let open: Vec<_> = open.into_iter().map(|(before, call)| (Asked::of(call), before < limit)).collect();
    for (Asked { id, name, arguments }, _) in &open {
        let (id, name, arguments) = (id.clone(), name.clone(), arguments.clone());
        work.said.event(TurnEvent::ToolCall { id, name, arguments });
    }
    let calls = open.into_iter().map(|(call, allowed)| one(work, context, call, allowed));
    let mut calls: FuturesUnordered<_> = calls.collect();
    work.presence.parts(calls.len());
    while let Some((result, event)) = calls.next().await {
        progress.happened.extend(event);
        let (id, content) = (result.tool_call_id.clone().unwrap_or_default(), result.content.clone());
        let told = TurnEvent::ToolResult { id, content, is_error: result.is_error };
        progress.settle(result);
        work.keep(progress).await?;
        work.said.event(told);
        if !calls.is_empty() {
            work.presence.rest();
        }
    }
    Ok(())
}

/// A call as the model asked for it.
struct Asked {
    id: String,
    name: String,
    /// What is no JSON is a text, which fits no tool.
    arguments: Value,
}

impl Asked {
    fn of(ToolCall { id, name, arguments }: ToolCall) -> Self {
        let arguments = match arguments.trim() {
            "" => json!({}),
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        };
        Self { id, name, arguments }
    }
}

/// What a call came to, and that it was made, if it was.
async fn one(
    work: &Work<'_>,
    context: &Context,
    call: Asked,
    allowed: bool,
) -> (NewMessage, Option<NewEvent>) {
    let Asked { id, name, arguments } = call;
    let (result, event) = match allowed {
        true => match attempt(work, context, &id, (&name, &arguments)).await {
            Ok(Executed { outcome, event }) => {
                (outcome.unwrap_or_else(|error| ToolResult::failed(error.to_string())), Some(event))
            }
            Err(why) => (ToolResult::failed(why), None),
        },
        false => (
            ToolResult::failed(
                "not called: the turn has used up agent.max_tool_calls_per_turn; answer with what there is",
            ),
            None,
        ),
    };
    let ToolResult { content, is_error, attachments, .. } = result;
    (NewMessage { attachments, ..NewMessage::tool(id, content, is_error) }, event)
}

/// One call, or what was in its way.
async fn attempt(
    work: &Work<'_>,
    context: &Context,
    id: &str,
    (name, arguments): (&str, &Value),
) -> Result<Executed, String> {
    let Some(policy) = context.policy_of(name) else {
        return Err(format!("There is no tool {name} to be called in this turn"));
    };
    work.parts.tools.check(name, arguments).map_err(|error| error.to_string())?;
    if policy == Policy::Ask {
        match approval::ask(work, id, name, arguments).await {
            Ok(Verdict::Allowed) => {}
            Ok(Verdict::Refused(why)) => return Err(format!("{name} was not called: {why}")),
            Err(error) => return Err(error.to_string()),
        }
    }
    let scope = context.scope.clone();
    let user = scope.owner.as_ref().map(|owner| owner.user_id.clone());
    let session = Some(work.turn.session.clone());
    let call = CallContext { session, call: id.into(), user, channel: context.channel.clone(), scope };
    work.parts.tools.execute(name, arguments, call).await.map_err(|error| error.to_string())
}
