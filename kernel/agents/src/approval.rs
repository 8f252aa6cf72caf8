//! Approval: a person is asked whether a tool may be called, or for an MCP server while it works on a call.

use std::time::Duration;

use tracing::{info, warn};

use super::stream::TurnEvent;
use super::words::{self, Words, with};
use super::work::Work;
use super::{arguments, command, reply};
use prx_base::error::Result;
use prx_host::bindings::agent::Token;
use prx_host::bindings::common;
use prx_store::{Approval, BegunBy, Choice, Decision, Elicitation, NewApproval, Question};
use serde_json::Value;

/// Whether a tool may be called.
pub(super) enum Verdict {
    /// It may, this once.
    Allowed,
    /// It may not; says why.
    Refused(String),
    /// Nobody has said so in time; says for how long.
    Expired(String),
}

/// What a person is asked before a tool is called, in English and in Markdown.
///
/// # Errors
/// The arguments can't be shown; says why. Nobody is asked about what can't be shown.
pub fn question(tool: &str, arguments: &Value) -> Result<String, String> {
    worded(words::of(None), tool, arguments)
}

fn worded(words: &Words, tool: &str, arguments: &Value) -> Result<String, String> {
    let shown = arguments::shown(arguments)?;
    Ok(format!("{}\n\n```json\n{shown}\n```", with(words.may_call, tool)))
}

/// Asks whether a tool may be called.
///
/// # Errors
/// The store has failed.
pub(super) async fn ask(work: &Work<'_>, call: &str, tool: &str, arguments: &Value) -> Result<Verdict> {
    if let Some(BegunBy { plugin, approver: None }) = begun_by(work) {
        let why = format!(
            "plugin {plugin} began this turn, and nobody is named who could allow it (grants.{plugin}.approver)"
        );
        return Ok(Verdict::Refused(why));
    }
    let words = match worded(work.words(), tool, arguments) {
        Ok(words) => words,
        Err(why) => {
            return Ok(Verdict::Refused(format!("the user has to allow it and can't be asked: {why}")));
        }
    };
    let about = About { call, tool, arguments, elicitation: None, question: None };
    let timeout = timeout(work);
    Ok(match put(work, about, words, std::future::pending()).await? {
        Decision::Allow | Decision::Chosen(_) => Verdict::Allowed,
        Decision::Deny => Verdict::Refused("the user does not allow it".into()),
        Decision::Expired => Verdict::Expired(format!("the user did not allow it within {timeout:?}")),
    })
}

/// Asks a person for the agent, under its name for the question. Returns the choice; none: nobody has chosen in time.
pub(super) async fn choose(
    work: &Work<'_>,
    token: Token,
    text: String,
    choices: Vec<common::Choice>,
) -> Option<String> {
    let choice = |choice: common::Choice| Choice { id: choice.id, label: choice.label };
    let question = Question { text: text.clone(), choices: choices.into_iter().map(choice).collect() };
    let (call, arguments) = (format!("question_{token}"), Value::Object(serde_json::Map::new()));
    let about = About {
        call: &call,
        tool: "",
        arguments: &arguments,
        elicitation: None,
        question: Some(question.clone()),
    };
    match put(work, about, text, std::future::pending()).await {
        Ok(Decision::Chosen(at)) => question.choices.into_iter().nth(at.into()).map(|choice| choice.id),
        Ok(Decision::Allow | Decision::Deny | Decision::Expired) => None,
        Err(error) => {
            warn!(%error, "what the agent asks can't be put to the user");
            None
        }
    }
}

/// What a question is about.
pub(super) struct About<'a> {
    /// The call's id in the turn.
    pub(super) call: &'a str,
    pub(super) tool: &'a str,
    pub(super) arguments: &'a Value,
    /// What the tool's server asks; none: the question is whether the tool may be called.
    pub(super) elicitation: Option<Elicitation>,
    /// What the agent asks; none: it is about a tool.
    pub(super) question: Option<Question>,
}

/// Puts a question on the channel that the message came by, and to whoever follows the turn, and waits for an answer up
/// to `tools.ask_timeout_secs`, or until the question is `withdrawn`. A turn that is taken up again goes on with the
/// question it asked before.
///
/// # Errors
/// The store has failed.
pub(super) async fn put(
    work: &Work<'_>,
    about: About<'_>,
    words: String,
    withdrawn: impl Future<Output = ()>,
) -> Result<Decision> {
    let (store, turn) = (&work.services.store, work.turn);
    let user = match begun_by(work) {
        Some(BegunBy { approver: None, .. }) => return Ok(Decision::Deny),
        Some(BegunBy { approver, .. }) => approver.clone(),
        None => turn.inbound.as_ref().map(|inbound| inbound.user_id.clone()),
    };
    let id = store.new_approval_id();
    let choices = match &about.question {
        Some(question) => command::numbered(&id, &question.choices),
        None if about.elicitation.is_some() => command::answers(&id, work.words()),
        None => command::choices(&id, work.words()),
    };
    let tool = about.tool;
    let new = NewApproval {
        turn: turn.id(),
        call: about.call.into(),
        tool: tool.into(),
        arguments: about.arguments.clone(),
        elicitation: about.elicitation,
        question: about.question,
        user,
        timeout: timeout(work),
    };
    let sent = reply::question(work, choices, words);
    let approval = store.ask_approval(id, new, sent).await?;
    info!(tool, approval = approval.id, "the user is asked");
    work.reply.event(TurnEvent::Approval(approval.clone()));
    let left = approval.expires_at.duration_since(work.services.base.clock.now());
    work.timer.pause();
    let decided = tokio::select! {
        decided = decided(work, &approval) => Some(decided),
        () = work.services.base.clock.sleep(left.try_into().unwrap_or_default()) => None,
        () = withdrawn => None,
    };
    work.timer.resume();
    let decision = match decided {
        Some(decided) => decided?,
        None => store.decide_approval(&turn.session, &approval.id, Decision::Expired).await?,
    };
    info!(tool, approval = approval.id, ?decision, "the question is answered");
    Ok(decision)
}

/// The plugin that began the turn; none: a person did.
fn begun_by<'a>(work: &Work<'a>) -> Option<&'a BegunBy> {
    work.turn.inbound.as_ref()?.begun_by.as_ref()
}

/// How long a person has.
fn timeout(work: &Work<'_>) -> Duration {
    Duration::from_secs(work.services.base.config.current().tools.ask_timeout_secs)
}

/// Waits for an answer.
async fn decided(work: &Work<'_>, approval: &Approval) -> Result<Decision> {
    let mut wakeup = work.wakeup.clone();
    loop {
        let now = work.services.store.approval(&work.turn.session, &approval.id)?;
        match now.decision {
            Some(decision) => return Ok(decision),
            None if wakeup.changed().await.is_ok() => {}
            None => std::future::pending().await,
        }
    }
}
