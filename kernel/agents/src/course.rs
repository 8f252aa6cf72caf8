//! The course of a turn: what happens goes to its agent, each step of the agent is committed, and then what it asks for is
//! done.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::future::{AbortHandle, Abortable, Aborted};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tracing::{debug, error, info, trace, warn};

use super::agent::Agent;
use super::ask::{self, Done, Outcome};
use super::completion::{Live, lock};
use super::compose;
use super::context::Context;
use super::entries::{Entries, entry};
use super::failure::TurnFailure;
use super::progress::{Open, Progress};
use super::reply;
use super::work::Work;
use prx_base::config::AgentSettings;
use prx_base::error::{Code, Error, Result};
use prx_host::bindings::agent as wire;
use prx_store::{AgentCommit, NewMessage, NewOutbound, Role, ToolCall, TurnStep};

/// What stands for the result of a call that the agent let be.
const NOT_MADE: &str = "not made";
/// Questions to models of one turn beyond one for each call of a tool.
const SPARE_QUESTIONS: u32 = 20;

/// A turn and its agent.
pub(super) struct Course<'a> {
    work: &'a Work<'a>,
    context: Arc<Context>,
    agent: Agent,
    entries: Arc<Entries>,
    pub(super) progress: Progress,
    /// The answer that is shown as it comes.
    pub(super) live: Arc<Mutex<Live>>,
    /// What failed last.
    failure: Option<TurnFailure>,
    cancels: BTreeMap<wire::Token, AbortHandle>,
}

/// What a step comes to besides its state.
#[derive(Default)]
struct Applied {
    begun: Vec<Open>,
    said: Vec<NewOutbound>,
    kept: AgentCommit,
    finish: Option<wire::Finish>,
}

/// The settings of the agent that answers in a turn's session.
///
/// # Errors
/// There is none of the name that the session has, or the store has failed.
fn settings_of(work: &Work<'_>) -> Result<AgentSettings> {
    let session = work.services.store.session(&work.turn.session)?;
    let config = work.services.base.config.current();
    let conversation = session.conversation.as_ref().map(|conversation| conversation.conversation.as_str());
    let name = config.agent_for(session.agent.as_deref(), &session.channel, conversation);
    config.agent(name).ok_or_else(|| {
        let all: Vec<String> = config.agents().map(|agent| agent.name).collect();
        Error::conflict(format!("There is no agent {name} any more; there are: {}", all.join(", ")))
    })
}

/// How a turn's work ended.
pub(super) struct Finished {
    pub(super) said: NewMessage,
    pub(super) kept: AgentCommit,
    pub(super) end_session: bool,
    pub(super) is_silent: bool,
}

impl Finished {
    /// With these words, of which the agent knows nothing.
    pub(super) fn saying(said: NewMessage) -> Self {
        Self { said, kept: AgentCommit::default(), end_session: false, is_silent: false }
    }
}

type UnderWay<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Result<Outcome, Aborted>> + Send + 'a>>>;

impl<'a> Course<'a> {
    /// Begins a turn, or takes it up where it was left.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn of(work: &'a Work<'a>, progress: Progress) -> Result<Self> {
        let services = work.services;
        let settings = settings_of(work)?;
        let record = services.store.agent_record(&work.turn.session, &settings.plugin)?;
        let from = record.history_from.clone();
        let entries = Entries::of(&services.store, work.turn, from.as_deref(), &progress.messages)?;
        let called: Vec<String> = entries.called().map(str::to_owned).collect();
        let context = Context::of(work, settings, called.iter().map(String::as_str)).await?;
        Ok(Self {
            work,
            agent: Agent::new(&context.agent, record),
            context: Arc::new(context),
            entries: Arc::new(entries),
            progress,
            live: Arc::default(),
            failure: None,
            cancels: BTreeMap::new(),
        })
    }

    /// Goes on until the agent ends the turn.
    ///
    /// # Errors
    /// The agent fails, or the store.
    pub(super) async fn go_on(&mut self) -> Result<Finished, TurnFailure> {
        let mut under_way = UnderWay::new();
        let mut events = vec![self.first_event()];
        for open in self.progress.open.clone() {
            self.begin(&mut under_way, open);
        }
        loop {
            let applied = self.step(&events).await?;
            if let Some(finish) = applied.finish {
                return self.finish(finish, applied.kept);
            }
            for open in applied.begun {
                self.begin(&mut under_way, open);
            }
            events.clear();
            self.work.timer.pause();
            let first = loop {
                match under_way.next().await {
                    Some(Ok(outcome)) => break Some(outcome),
                    Some(Err(Aborted)) => {}
                    None => break None,
                }
            };
            self.work.timer.resume();
            let Some(first) = first else {
                return Err(self.broke("it asks for nothing, and does not end the turn").into());
            };
            events.push(self.take(first).await?);
            while let Some(Some(more)) = under_way.next().now_or_never() {
                if let Ok(outcome) = more {
                    events.push(self.take(outcome).await?);
                }
            }
        }
    }

    /// Tells the agent that the turn is to end, and returns its last words.
    ///
    /// # Errors
    /// The agent fails, or the store.
    pub(super) async fn stop(&mut self, by: wire::StoppedBy, partial: &str) -> Result<Finished, TurnFailure> {
        self.progress.open.clear();
        let partial = (!partial.is_empty()).then(|| entry(&NewMessage::assistant(partial), 0));
        let applied = self.step(&[wire::Event::Stopped(wire::Stopped { by, partial })]).await?;
        let last = wire::Finish { reply: wire::Reply::Last, end_session: false };
        self.finish(applied.finish.unwrap_or(last), applied.kept)
    }

    fn first_event(&self) -> wire::Event {
        let means = self.means();
        if self.progress.agent.as_deref() == Some(&self.agent.plugin) {
            let tokens = self.progress.open.iter().map(|open| open.token).collect();
            return wire::Event::Resumed((tokens, means));
        }
        let entries = &self.entries;
        let mut history: Vec<wire::Entry> = entries.history().map(|said| said.entry()).collect();
        let opening = entries.opening().map(|said| said.entry());
        if !entries.since().is_empty() {
            // Another agent has worked on it: what was said since stands before the question.
            history.extend(opening.clone());
            history.extend(entries.since().iter().map(|said| said.entry()));
        }
        let message = &self.work.turn.message;
        wire::Event::Message(wire::Message {
            entry: opening.unwrap_or_else(|| entry(&message.clone().said(), 0)),
            text: message.content.clone(),
            attachments: message.attachments.iter().cloned().map(Into::into).collect(),
            means,
            history,
            older: entries.older,
        })
    }

    fn means(&self) -> wire::Means {
        let services = self.work.services;
        let config = services.base.config.current();
        let models = self.context.models().into_iter().map(|(provider, model)| wire::Model {
            window: services.windows.window(&config, &provider, &model),
            max_output: config.components.model(&provider, &model).max_output,
            pictures: services.plugins.takes_pictures(&provider),
            name: format!("{provider}/{model}"),
        });
        let tools = self.context.offered().map(|(tool, policy)| wire::ToolSummary {
            name: tool.name().to_owned(),
            source: tool.definition().source.to_string(),
            read_only: tool.definition().read_only,
            policy: match policy {
                prx_base::config::Policy::Ask => wire::ToolPolicy::Ask,
                _ => wire::ToolPolicy::Allow,
            },
        });
        let skills = services.plugins.skills().into_iter();
        let skills = skills.filter(|skill| self.context.agent.has_skill(&skill.info.name));
        let skills = skills.map(|skill| wire::SkillSummary {
            name: skill.info.name,
            description: skill.info.description,
            triggers: skill.info.triggers,
        });
        wire::Means { models: models.collect(), tools: tools.collect(), skills: skills.collect() }
    }

    /// Has the agent handle events, and commits its step unless that ends the turn.
    async fn step(&mut self, events: &[wire::Event]) -> Result<Applied, TurnFailure> {
        let context = self.agent_context()?;
        let transcript: Arc<dyn prx_host::Transcript> = Arc::clone(&self.entries) as _;
        let step = self.agent.step(self.work, &context, events, transcript).await?;
        let mut applied = self.apply(step)?;
        self.progress.agent = Some(self.agent.plugin.clone());
        applied.kept.plugin.clone_from(&self.agent.plugin);
        if applied.finish.is_none() {
            let kept = std::mem::take(&mut applied.kept);
            self.commit(std::mem::take(&mut applied.said), kept).await?;
        }
        Ok(applied)
    }

    async fn commit(&mut self, outbound: Vec<NewOutbound>, agent: AgentCommit) -> Result<()> {
        let progress = serde_json::to_value(&self.progress).map_err(Error::internal)?;
        let usage = std::mem::take(&mut self.progress.usage);
        let events = std::mem::take(&mut self.progress.events);
        let step = TurnStep { progress, usage, events, outbound, agent };
        self.work.services.store.record_step(&self.work.turn.id(), step).await
    }

    /// Keeps how far it has come.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn save(&mut self) -> Result<()> {
        self.commit(Vec::new(), AgentCommit::default()).await
    }

    fn agent_context(&self) -> Result<wire::Context> {
        let services = self.work.services;
        let session = services.store.session(&self.work.turn.session)?;
        let config = services.base.config.current();
        let most = config.agent.max_tool_calls_per_turn;
        let made = u32::try_from(self.progress.calls().count()).unwrap_or(u32::MAX);
        let budget = config.agent.max_tokens_per_session;
        Ok(wire::Context {
            agent: self.agent.name.clone(),
            config: self.agent.config(&services.plugins)?,
            now: services.base.clock.now_ms(),
            seed: self.work.turn.seq,
            left: wire::Allowance {
                model_calls: (most + SPARE_QUESTIONS).saturating_sub(self.progress.asked),
                tool_calls: most.saturating_sub(made.saturating_sub(self.progress.waiting_calls())),
                tokens: (budget > 0).then(|| budget.saturating_sub(session.token_usage.total())),
                ms: u32::try_from(config.agent.turn_timeout_secs * 1000).unwrap_or(u32::MAX),
                turns: u32::try_from(config.agent.max_turns.saturating_sub(session.turn_count + 1))
                    .unwrap_or(u32::MAX),
            },
            session: wire::Session {
                id: session.id,
                channel: session.channel,
                group: self.work.turn.message.context.sender.is_some(),
                language: None,
                metadata: session.metadata.to_string(),
                carried: self.agent.carried.clone(),
            },
        })
    }

    /// Takes in what a step wants, as far as it may.
    fn apply(&mut self, step: wire::Step) -> Result<Applied, TurnFailure> {
        let mut applied = Applied::default();
        if let Some(bytes) = step.state {
            self.agent.state.bytes = bytes;
            applied.kept.state = Some(self.agent.state.clone());
        }
        applied.kept.left = step.carry;
        for command in step.commands {
            if applied.finish.is_some() {
                break;
            }
            self.command(command, &mut applied)?;
        }
        Ok(applied)
    }

    fn command(&mut self, command: wire::Command, applied: &mut Applied) -> Result<(), TurnFailure> {
        use wire::Command;
        match command {
            Command::AskModel(ask) => {
                self.close_calls();
                compose::parts(&self.entries, &ask.messages).map_err(|misfit| self.broke(misfit))?;
                self.progress.asked += 1;
                self.open(ask.token, Command::AskModel(ask), applied)?;
            }
            Command::CallTool((token, call)) => {
                if !self.progress.open_calls().iter().any(|(_, open)| open.id == call.id) {
                    return Err(self
                        .broke(format!("it makes a call that no model asks for: {}", call.id))
                        .into());
                }
                self.open(token, Command::CallTool((token, call)), applied)?;
            }
            Command::ToolResult(result) => {
                self.settle(NewMessage::tool(result.call, result.text, result.is_error))
            }
            Command::ActivateSkill((token, what)) => {
                self.open(token, Command::ActivateSkill((token, what)), applied)?;
            }
            Command::ReadSkillFile((token, what)) => {
                self.open(token, Command::ReadSkillFile((token, what)), applied)?;
            }
            Command::Recall((token, what)) => self.open(token, Command::Recall((token, what)), applied)?,
            Command::AskPerson((token, what)) => {
                self.open(token, Command::AskPerson((token, what)), applied)?
            }
            Command::Say(text) => {
                applied.said.extend(reply::in_between(self.work.turn, &text));
                self.keep(NewMessage::assistant(text));
            }
            Command::Cancel(token) => {
                self.progress.open.retain(|open| open.token != token);
                if let Some(cancel) = self.cancels.remove(&token) {
                    cancel.abort();
                }
            }
            Command::Finish(finish) => applied.finish = Some(finish),
            Command::ForgetBefore(id) => match self.entries.get(&id) {
                Some(_) => applied.kept.history_from = Some(id),
                None => return Err(self.broke(format!("it names an entry that there is not: {id}")).into()),
            },
            Command::Log((level, line)) => self.log(level, &line),
        }
        Ok(())
    }

    fn open(&mut self, token: wire::Token, command: wire::Command, applied: &mut Applied) -> Result<()> {
        if self.progress.open.iter().any(|open| open.token == token) {
            return Err(self.broke(format!("it asks twice under the token {token}")));
        }
        let open = Open { token, command, begun: false };
        self.progress.open.push(open.clone());
        applied.begun.push(open);
        Ok(())
    }

    fn begin(&mut self, under_way: &mut UnderWay<'a>, open: Open) {
        let token = open.token;
        let is_shown = matches!(&open.command, wire::Command::AskModel(ask) if ask.shown);
        let live = if is_shown { Arc::clone(&self.live) } else { Arc::default() };
        let doing = ask::Doing {
            work: self.work,
            context: Arc::clone(&self.context),
            entries: Arc::clone(&self.entries),
            live,
            calls_before: self.progress.calls_before(&open),
        };
        let (abort, registration) = AbortHandle::new_pair();
        self.cancels.insert(token, abort);
        self.work.timer.resume();
        let timer = self.work.timer;
        let doing = async move {
            let done = ask::perform(doing, open).await;
            timer.pause();
            Outcome { token, done }
        };
        under_way.push(Box::pin(Abortable::new(doing, registration)));
    }

    /// Takes in what came of something. The results of tools are kept before anyone is told.
    async fn take(&mut self, outcome: Outcome) -> Result<wire::Event> {
        let Outcome { token, done } = outcome;
        self.cancels.remove(&token);
        let asked = self.progress.open.iter().position(|open| open.token == token);
        let asked = asked.map(|at| self.progress.open.remove(at));
        Ok(match done {
            Done::Answered { answer, usage } => {
                self.progress.usage = self.progress.usage.plus(usage);
                let kept = asked
                    .is_none_or(|asked| matches!(asked.command, wire::Command::AskModel(ask) if ask.kept));
                self.answered(token, *answer, kept)
            }
            Done::NotAnswered { failure, usage } => {
                self.progress.usage = self.progress.usage.plus(usage);
                let message = failure.error.message().to_owned();
                let kind = failure.kind;
                self.failure =
                    Some(TurnFailure { refused: failure.refused, ..TurnFailure::permanent(failure.error) });
                wire::Event::Failed(wire::Failed { token, model: None, kind, message, partial: None })
            }
            Done::Called { result, event, outcome } => {
                self.progress.events.extend(event);
                let text = result.content.clone();
                let result = self.named(result);
                self.settle(result.clone());
                self.commit(Vec::new(), AgentCommit::default()).await?;
                self.work.reply.event(super::stream::TurnEvent::ToolResult {
                    id: result.tool_call_id.clone().unwrap_or_default(),
                    content: text.clone(),
                    is_error: result.is_error,
                });
                let entry = entry(&result, self.work.services.base.clock.now_ms());
                wire::Event::ToolDone(wire::ToolDone { token, entry, outcome, text })
            }
            Done::Activated(activation) => wire::Event::Activated((token, activation)),
            Done::Recalled(memories) => wire::Event::Recalled((token, memories)),
            Done::SkillFile(text) => wire::Event::SkillFile((token, text)),
            Done::Chosen(choice) => wire::Event::Chosen((token, choice)),
        })
    }

    fn answered(&mut self, token: wire::Token, answer: super::completion::Answer, kept: bool) -> wire::Event {
        let super::completion::Answer { completion, provider, model, data } = answer;
        let calls: Vec<ToolCall> = completion
            .tool_calls
            .into_iter()
            .map(|call| ToolCall { id: call.id, name: call.name, arguments: call.arguments })
            .collect();
        let at = self.work.services.base.clock.now_ms();
        let said = match kept {
            true => {
                let id = self.work.services.store.new_message_id();
                let said = self.progress.answer(id, completion.text, calls, data).clone();
                Arc::make_mut(&mut self.entries).push(said.clone(), at);
                said
            }
            false => NewMessage::assistant(completion.text),
        };
        let call = |call: &ToolCall| prx_host::bindings::common::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        wire::Event::Answered(wire::Answered {
            token,
            entry: entry(&said, at),
            model: format!("{provider}/{model}"),
            calls: said.tool_calls.iter().map(call).collect(),
            text: said.content,
            stop: completion.stop,
            input_tokens: completion.usage.input,
            output_tokens: completion.usage.output,
        })
    }

    fn finish(&mut self, finish: wire::Finish, kept: AgentCommit) -> Result<Finished, TurnFailure> {
        self.close_calls();
        let is_answer = |said: &NewMessage| said.role == Role::Assistant && said.tool_calls.is_empty();
        let last = self.progress.messages.pop_if(|said| is_answer(said));
        let is_silent = matches!(finish.reply, wire::Reply::Silent);
        let said = match finish.reply {
            wire::Reply::Last => last.unwrap_or_else(|| NewMessage::assistant("")),
            wire::Reply::Text(text) => {
                self.show(&text);
                NewMessage::assistant(text)
            }
            wire::Reply::Silent => NewMessage::assistant(""),
            wire::Reply::Failed => {
                let failure = self.failure.take();
                let unknown = || self.broke("it ends the turn with a failure that there is not").into();
                return Err(failure.unwrap_or_else(unknown));
            }
        };
        Ok(Finished { said, kept, end_session: finish.end_session, is_silent })
    }

    /// Shows a reply as far as it was not shown.
    fn show(&self, text: &str) {
        let shown = std::mem::take(&mut lock(&self.live).shown);
        match text.strip_prefix(shown.as_str()) {
            Some(rest) => drop(self.work.reply.token(rest)),
            None => {
                self.work
                    .reply
                    .event(super::stream::TurnEvent::Restart { reason: "it is said otherwise".into() });
                self.work.reply.restart();
                self.work.reply.token(text);
            }
        }
    }

    /// Answers the calls that nobody makes.
    fn close_calls(&mut self) {
        let under_way: Vec<String> = self.progress.calls_under_way().map(str::to_owned).collect();
        for (_, call) in self.progress.open_calls() {
            if !under_way.contains(&call.id) {
                self.settle(NewMessage::tool(call.id, NOT_MADE, true));
            }
        }
    }

    fn settle(&mut self, result: NewMessage) {
        let result = self.named(result);
        Arc::make_mut(&mut self.entries).push(result.clone(), self.work.services.base.clock.now_ms());
        self.progress.settle(result);
    }

    fn keep(&mut self, said: NewMessage) {
        let said = self.named(said);
        Arc::make_mut(&mut self.entries).push(said.clone(), self.work.services.base.clock.now_ms());
        self.progress.messages.push(said);
    }

    fn named(&self, said: NewMessage) -> NewMessage {
        let id = said.id.unwrap_or_else(|| self.work.services.store.new_message_id());
        NewMessage { id: Some(id), ..said }
    }

    fn broke(&self, why: impl std::fmt::Display) -> Error {
        Error::new(
            Code::BadGateway,
            format!("The agent {} ({}) did what it may not: {why}", self.agent.name, self.agent.plugin),
        )
    }

    fn log(&self, level: wire::LogLevel, line: &str) {
        let agent = &self.agent.name;
        match level {
            wire::LogLevel::Trace => trace!(agent, "{line}"),
            wire::LogLevel::Debug => debug!(agent, "{line}"),
            wire::LogLevel::Info => info!(agent, "{line}"),
            wire::LogLevel::Warn => warn!(agent, "{line}"),
            wire::LogLevel::Error => error!(agent, "{line}"),
        }
    }
}
