//! What an agent asks for, done: models asked, tools called, skills and memories looked for.

use std::sync::{Arc, Mutex};

use tracing::warn;

use super::completion::{self, Answer, Live, NoAnswer, Question, lock};
use super::compose;
use super::context::Context;
use super::entries::Entries;
use super::progress::Open;
use super::work::Work;
use super::{budget, calls, skills};
use prx_base::events::NewEvent;
use prx_host::bindings::agent as wire;
use prx_host::bindings::common::Fault;
use prx_store::{NewMessage, ToolCall, Usage};

/// What it is done with.
pub(super) struct Doing<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) context: Arc<Context>,
    pub(super) entries: Arc<Entries>,
    pub(super) live: Arc<Mutex<Live>>,
    /// How many calls of the turn come before this one.
    pub(super) calls_before: usize,
}

/// What came of it, under the agent's name for it.
pub(super) struct Outcome {
    pub(super) token: wire::Token,
    pub(super) done: Done,
}

pub(super) enum Done {
    Answered { answer: Box<Answer>, usage: Usage },
    NotAnswered { failure: NoAnswer, usage: Usage },
    Called { result: NewMessage, event: Option<NewEvent>, outcome: wire::ToolOutcome },
    Activated(Result<wire::Activation, Fault>),
    Recalled(Vec<String>),
    SkillFile(Option<String>),
    Chosen(Option<String>),
}

/// Does one thing.
pub(super) async fn perform(doing: Doing<'_>, open: Open) -> Done {
    use wire::Command;
    match open.command {
        Command::AskModel(ask) => ask_model(&doing, &ask).await,
        Command::CallTool((_, call)) => {
            let call = ToolCall { id: call.id, name: call.name, arguments: call.arguments };
            let (result, event) = calls::answer(doing.work, &doing.context, call, doing.calls_before).await;
            let outcome = if result.is_error { wire::ToolOutcome::Failed } else { wire::ToolOutcome::Done };
            Done::Called { result, event, outcome }
        }
        Command::ActivateSkill((_, (name, text))) => {
            Done::Activated(skills::activate(doing.work, &doing.entries, &name, text).await)
        }
        Command::Recall((_, (text, limit))) => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(100);
            let owner = doing.context.scope.owner.as_ref();
            let recalled = owner.map(|owner| doing.work.services.memory.recall(owner, &text, limit));
            let recalled = recalled.transpose().unwrap_or_else(|error| {
                warn!(%error, "memories can't be read");
                None
            });
            Done::Recalled(recalled.into_iter().flatten().map(|entry| entry.text).collect())
        }
        Command::ReadSkillFile(_) => Done::SkillFile(None),
        _ => Done::Chosen(None),
    }
}

async fn ask_model(doing: &Doing<'_>, ask: &wire::AskModel) -> Done {
    if let Err(error) = budget::check(doing.work) {
        let failure = NoAnswer { error, kind: wire::FailureKind::Budget, refused: false };
        return Done::NotAnswered { failure, usage: Usage::default() };
    }
    let models = doing.context.models();
    let is_it = |named: &&str| models.iter().any(|(provider, model)| *named == format!("{provider}/{model}"));
    if let Some(name) = ask.model.as_deref().filter(|name| !is_it(name)) {
        let message = format!(
            "The model {name} may not be chosen here: set agents.{}.models",
            doing.context.agent.name
        );
        let error = prx_base::error::Error::bad_request(message);
        let failure = NoAnswer { error, kind: wire::FailureKind::Denied, refused: false };
        return Done::NotAnswered { failure, usage: Usage::default() };
    }
    let parts = match compose::parts(&doing.entries, &ask.messages) {
        Ok(parts) => parts,
        Err(misfit) => {
            let error = prx_base::error::Error::internal(misfit);
            let failure = NoAnswer { error, kind: wire::FailureKind::Refused, refused: false };
            return Done::NotAnswered { failure, usage: Usage::default() };
        }
    };
    let question = Question { context: &doing.context, ask, parts: &parts, live: &doing.live };
    let answered = completion::complete(doing.work, &question).await;
    let usage = lock(&doing.live).spent();
    match answered {
        Ok(answer) => Done::Answered { answer: Box::new(answer), usage },
        Err(failure) => Done::NotAnswered { failure, usage },
    }
}
