//! The tools that a model asks for.

use serde_json::{Value, json};

use super::approval::{self, About, Verdict};
use super::context::Context;
use super::elicitation;
use super::stream::TurnEvent;
use super::tool::{CallContext, Executed, ToolResult};
use super::work::Work;
use prx_base::config::Policy;
use prx_base::events::NewEvent;
use prx_host::bindings::agent::ToolOutcome;
use prx_mcp::Person;
use prx_store::{NewMessage, ToolCall};

/// A call as the model asked for it.
struct Call {
    id: String,
    name: String,
    /// What is no JSON is a text, which fits no tool.
    arguments: Value,
    /// Whether the turn may make another call.
    within_limit: bool,
}

impl Call {
    fn new(asked: ToolCall, within_limit: bool) -> Self {
        let ToolCall { id, name, arguments } = asked;
        let arguments = match arguments.trim() {
            "" => json!({}),
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        };
        Self { id, name, arguments, within_limit }
    }
}

/// What came of a call.
pub(super) enum Called {
    /// A person allows it with these arguments, and it is not made yet: that is to be kept first.
    Allowed(Value),
    Answered(Box<CallResult>),
}

/// What came of a call that was answered.
pub(super) struct CallResult {
    /// For the model.
    pub(super) result: NewMessage,
    /// That it was made, if it was.
    pub(super) event: Option<NewEvent>,
    pub(super) outcome: ToolOutcome,
}

/// Why a call was not made.
enum NotMade {
    /// A person allows it with these arguments.
    Allowed(Value),
    /// For the model to read.
    Refused(String),
    /// No person has said anything in time.
    Expired(String),
    /// Anything else that was in its way.
    Failed(String),
}

impl From<String> for NotMade {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// How far a call has come.
pub(super) struct How {
    /// How many calls of the turn were asked for before it.
    pub(super) before: usize,
    /// Nobody has to be asked any more.
    pub(super) begun: bool,
    /// The arguments that a person has allowed.
    pub(super) allowed: Option<Value>,
}

/// Makes a call of a turn: as many as the turn may make, the rest are answered with why they were not made.
pub(super) async fn answer(work: &Work<'_>, context: &Context, asked: ToolCall, how: How) -> Called {
    let limit = work.services.base.config.current().agent.max_tool_calls_per_turn;
    let How { before, begun, allowed } = how;
    let mut call = Call::new(asked, before < usize::try_from(limit).unwrap_or(usize::MAX));
    // Of what a person was asked about, everybody was told before.
    let is_told = begun && context.policy_of(&call.name) == Some(Policy::Ask);
    let is_filtered = allowed.is_some();
    call.arguments = allowed.unwrap_or(call.arguments);
    let on_behalf = on_behalf(work, context, &call.id);
    let passed = match is_filtered || !call.within_limit || context.policy_of(&call.name).is_none() {
        true => Ok(()),
        false => work.services.tools.pass(&call.name, &mut call.arguments, &on_behalf).await,
    };
    if !is_told {
        let (id, name, arguments) = (call.id.clone(), call.name.clone(), call.arguments.clone());
        work.reply.event(TurnEvent::ToolCall { id, name, arguments });
    }
    let made = match (call.within_limit, passed) {
        (true, Ok(())) => make_one(work, context, &call, begun, on_behalf).await,
        (true, Err(why)) => Err(NotMade::Refused(format!("{} was not called: {}", call.name, why.message()))),
        (false, _) => Err(NotMade::Refused(
            "not called: the turn has used up agent.max_tool_calls_per_turn; answer with what there is"
                .into(),
        )),
    };
    let (result, event, outcome) = match made {
        Ok(Executed { outcome, event }) => {
            let result = outcome.unwrap_or_else(|error| ToolResult::failed(error.to_string()));
            let outcome = if result.is_error { ToolOutcome::Failed } else { ToolOutcome::Done };
            (result, Some(event), outcome)
        }
        Err(NotMade::Allowed(arguments)) => return Called::Allowed(arguments),
        Err(NotMade::Refused(why)) => (ToolResult::failed(why), None, ToolOutcome::Refused),
        Err(NotMade::Expired(why)) => (ToolResult::failed(why), None, ToolOutcome::Expired),
        Err(NotMade::Failed(why)) => (ToolResult::failed(why), None, ToolOutcome::Failed),
    };
    let ToolResult { content, is_error, attachments, .. } = result;
    let result = NewMessage { attachments, ..NewMessage::tool(call.id, content, is_error) };
    Called::Answered(Box::new(CallResult { result, event, outcome }))
}

/// On whose behalf a call is made.
pub(super) fn on_behalf(work: &Work<'_>, context: &Context, call: &str) -> CallContext {
    let scope = context.scope.clone();
    let user = scope.owner.as_ref().map(|owner| owner.user_id.clone());
    let (session, agent) = (Some(work.turn.session.clone()), Some(context.agent.name.clone()));
    CallContext {
        session,
        agent,
        call: call.to_owned(),
        user,
        channel: context.channel.clone(),
        scope,
        person: None,
        trace: work.trace,
    }
}

/// One call, or what was in its way, for the model.
async fn make_one(
    work: &Work<'_>,
    context: &Context,
    call: &Call,
    allowed: bool,
    on_behalf: CallContext,
) -> Result<Executed, NotMade> {
    let (tools, Call { id, name, arguments, .. }) = (&work.services.tools, call);
    let Some(policy) = context.policy_of(name) else {
        let shown = context.names.shown(name);
        return Err(NotMade::Refused(format!("There is no tool {shown} to be called in this turn")));
    };
    tools.check(name, arguments).await.map_err(|error| error.to_string())?;
    if policy == Policy::Ask && !allowed {
        match approval::ask(work, id, name, arguments).await {
            Ok(Verdict::Allowed) => return Err(NotMade::Allowed(arguments.clone())),
            Ok(Verdict::Refused(why)) => {
                return Err(NotMade::Refused(format!("{name} was not called: {why}")));
            }
            Ok(Verdict::Expired(why)) => {
                return Err(NotMade::Expired(format!("{name} was not called: {why}")));
            }
            Err(error) => return Err(error.to_string().into()),
        }
    }
    let (person, questions) = Person::new(work.turn.session.clone());
    let on_behalf = CallContext { person: Some(person), ..on_behalf };
    let asking = elicitation::answer(
        work,
        About { call: id, tool: name, arguments, elicitation: None, question: None },
        questions,
    );
    let (executed, ()) = tokio::join!(tools.execute(name, arguments, on_behalf), asking);
    executed.map_err(|error| error.to_string().into())
}
