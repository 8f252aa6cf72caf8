//! What an agent asks for, done: models asked, tools called, skills and memories looked for.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::warn;

use super::bounds::SPARE_QUESTIONS;
use super::calls::{self, CallResult, Called, How};
use super::completion::{self, Answer, Live, NoAnswer, Question, lock};
use super::compose;
use super::context::Context;
use super::entries::Entries;
use super::progress::Open;
use super::work::Work;
use super::{approval, budget, skills};
use prx_base::error::{Code, Error};
use prx_host::bindings::agent as wire;
use prx_host::bindings::common::Fault;
use prx_store::{ToolCall, Usage};

/// What it is done with.
pub(super) struct Doing<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) context: Arc<Context>,
    pub(super) entries: Arc<Entries>,
    pub(super) live: Arc<Mutex<Live>>,
    /// How many calls of the turn come before this one.
    pub(super) calls_before: usize,
    /// How often the turn has asked a model, with this time.
    pub(super) asked: u32,
}

/// What came of it, under the agent's name for it.
pub(super) struct Outcome {
    pub(super) token: wire::Token,
    pub(super) done: Done,
}

pub(super) enum Done {
    Answered {
        answer: Box<Answer>,
        usage: Usage,
    },
    NotAnswered {
        failure: Box<NoAnswer>,
        usage: Usage,
    },
    /// A call may be made, with these arguments.
    Allowed(Value),
    Called(Box<CallResult>),
    Activated(Result<wire::Activation, Fault>),
    Recalled(Vec<String>),
    SkillFile(Result<String, Fault>),
    Chosen(Option<String>),
}

/// Does one thing.
pub(super) async fn perform(doing: Doing<'_>, open: Open) -> Done {
    use wire::Command;
    match open.command {
        Command::AskModel(ask) => ask_model(&doing, &ask).await,
        Command::CallTool((_, call)) => {
            let call = ToolCall { id: call.id, name: call.name, arguments: call.arguments };
            let before = doing.calls_before;
            let how = How { before, begun: open.begun, allowed: open.allowed };
            match calls::answer(doing.work, &doing.context, call, how).await {
                Called::Allowed(arguments) => Done::Allowed(arguments),
                Called::Answered(result) => Done::Called(result),
            }
        }
        Command::ActivateSkill((_, (name, text))) => {
            Done::Activated(skills::activate(doing.work, &doing.context, &doing.entries, &name, text).await)
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
        Command::ReadSkillFile((_, (name, path))) => {
            Done::SkillFile(skills::read_file(doing.work, &doing.context, &name, &path).await)
        }
        Command::AskPerson((token, (text, choices))) => {
            Done::Chosen(approval::choose(doing.work, token, text, choices).await)
        }
        // Nothing to wait for.
        Command::ToolResult(_)
        | Command::Say(_)
        | Command::Cancel(_)
        | Command::Finish(_)
        | Command::ForgetBefore(_)
        | Command::Log(_) => Done::Chosen(None),
    }
}

async fn ask_model(doing: &Doing<'_>, ask: &wire::AskModel) -> Done {
    let models = doing.context.models();
    let names: Vec<String> = models.iter().map(|(provider, model)| format!("{provider}/{model}")).collect();
    let model = ask.model.clone().or_else(|| names.first().cloned());
    let not_asked = |error: Error, kind: wire::FailureKind| Done::NotAnswered {
        failure: Box::new(NoAnswer { error, kind, refused: false, model: model.clone() }),
        usage: Usage::default(),
    };
    let most = doing.context.config.agent.max_tool_calls_per_turn + SPARE_QUESTIONS;
    if doing.asked > most {
        let message = format!("The turn has asked models {most} times, which is the most");
        return not_asked(Error::new(Code::RateLimited, message), wire::FailureKind::Budget);
    }
    if let Err(error) = budget::check(doing.work) {
        return not_asked(error, wire::FailureKind::Budget);
    }
    if let Some(name) = ask.model.as_ref().filter(|name| !names.contains(name)) {
        let agent = &doing.context.agent.name;
        let message = format!("The model {name} may not be chosen here: set agents.{agent}.models");
        return not_asked(Error::new(Code::BadGateway, message), wire::FailureKind::Denied);
    }
    let parts = match compose::parts(&doing.entries, &ask.messages) {
        Ok(parts) => parts,
        Err(misfit) => return not_asked(Error::internal(misfit), wire::FailureKind::Refused),
    };
    let question = Question { context: &doing.context, ask, parts: &parts, live: &doing.live };
    let answered = completion::complete(doing.work, &question).await;
    let usage = lock(&doing.live).spent();
    match answered {
        Ok(answer) => Done::Answered { answer: Box::new(answer), usage },
        Err(failure) => Done::NotAnswered { failure: Box::new(failure), usage },
    }
}
