//! The course of a turn: what happens goes to its agent, each step of the agent is committed, and then what it asks for is
//! done.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::future::{AbortHandle, Aborted};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tracing::warn;

use super::agent::{Agent, TakenUp};
use super::applied::Applied;
use super::ask::Outcome;
use super::bounds::{self, SPARE_QUESTIONS};
use super::completion::{Live, lock};
use super::context::Context;
use super::entries::{Entries, entry};
use super::failure::TurnFailure;
use super::filtering;
use super::means;
use super::progress::Progress;
use super::stream::TurnEvent;
use super::work::Work;
use prx_base::error::{Code, Error, Result};
use prx_host::bindings::agent as wire;
use prx_host::{CallError, Generation};
use prx_store::{AgentCommit, AgentState, NewMessage, NewOutbound, TurnStep};

/// Between the seeds of two steps.
const SEED_STEP: u64 = 0xd1b5_4a32_d192_ed03;

/// A turn and its agent.
pub(super) struct Course<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) context: Arc<Context>,
    pub(super) agent: Agent,
    pub(super) entries: Arc<Entries>,
    pub(super) progress: Progress,
    /// The answer that is shown as it comes.
    pub(super) live: Arc<Mutex<Live>>,
    /// What failed last.
    pub(super) failure: Option<TurnFailure>,
    pub(super) cancels: BTreeMap<wire::Token, AbortHandle>,
    /// What the agent was told that it may use.
    told: wire::Means,
    /// What its steps have changed since the last commit.
    unsaved: AgentCommit,
}

/// What is under way.
pub(super) type UnderWay<'a> =
    FuturesUnordered<Pin<Box<dyn Future<Output = Result<Outcome, Aborted>> + Send + 'a>>>;

/// Why a step counts for nothing.
pub(super) enum Broken {
    /// Its code failed.
    Code(CallError),
    /// It wants what it may not.
    Rule(String),
    /// Nothing of the agent's: the store has failed, say.
    Turn(TurnFailure),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Turn(error.into())
    }
}

/// A turn before a step.
struct Before {
    progress: Progress,
    entries: Arc<Entries>,
    state: AgentState,
}

/// How a turn's work ended.
pub(super) struct Finished {
    /// What its last step has said before the reply.
    pub(super) before: Vec<NewOutbound>,
    pub(super) said: NewMessage,
    pub(super) kept: AgentCommit,
    pub(super) end_session: bool,
    pub(super) is_silent: bool,
    /// What is said stands in the turn already, and asks for calls that the caller makes.
    pub(super) is_handed_over: bool,
}

impl Finished {
    /// With these words, of which the agent knows nothing.
    pub(super) fn saying(said: NewMessage) -> Self {
        let (before, kept) = (Vec::new(), AgentCommit::default());
        Self { before, said, kept, end_session: false, is_silent: false, is_handed_over: false }
    }
}

impl<'a> Course<'a> {
    /// Begins a turn, or takes it up where it was left.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn of(work: &'a Work<'a>, mut progress: Progress) -> Result<Self> {
        let services = work.services;
        if progress.seed == 0 {
            progress.seed = getrandom::u64().unwrap_or(1);
        }
        let settings = services.agent_of(work.turn)?;
        let record = services.store.agent_record(&work.turn.session, &settings.plugin)?;
        if progress.forgotten != record.forgotten {
            // Its agent remembers nothing of it: it begins again, after what was said so far.
            progress.close("not finished: the turn has begun again");
            progress.open.clear();
            (progress.agent, progress.forgotten) = (None, record.forgotten);
        }
        let from = record.history_from.clone();
        let entries = Entries::of(&services.store, work.turn, from.as_deref(), &progress.messages)?;
        let agent = Agent::new(&settings, record);
        let context = Context::of(work, settings, entries.called()).await?;
        Ok(Self {
            work,
            told: means::means(work, &context),
            agent,
            context: Arc::new(context),
            entries: Arc::new(entries),
            progress,
            live: Arc::default(),
            failure: None,
            cancels: BTreeMap::new(),
            unsaved: AgentCommit::default(),
        })
    }

    /// Goes on until the agent ends the turn.
    ///
    /// # Errors
    /// The agent fails, or the store.
    pub(super) async fn go_on(&mut self) -> Result<Finished, TurnFailure> {
        let mut under_way = UnderWay::new();
        let mut events = self.first_events(&mut under_way).await?;
        loop {
            let applied = self.step(events, &mut under_way).await?;
            if let Some(finish) = applied.finish {
                return self.finish(finish, applied.said).await;
            }
            for open in applied.begun {
                self.begin(&mut under_way, open);
            }
            events = self.next_events(&mut under_way).await?;
            if events.is_empty() {
                let handed_over = self.hand_over().await;
                let broke = || self.broke("it asks for nothing, and does not end the turn").into();
                return handed_over.ok_or_else(broke);
            }
            events.splice(0..0, self.changed().await?);
        }
    }

    /// What happens next; nothing where nothing is under way.
    async fn next_events(&mut self, under_way: &mut UnderWay<'a>) -> Result<Vec<wire::Event>> {
        let mut events = Vec::new();
        self.work.timer.pause();
        while events.is_empty() {
            let Some(outcome) = under_way.next().await else { break };
            events.extend(self.take(under_way, outcome).await?);
        }
        self.work.timer.resume();
        while let Some(Some(outcome)) = under_way.next().now_or_never() {
            events.extend(self.take(under_way, outcome).await?);
        }
        Ok(events)
    }

    /// Tells the agent that the turn is to end, and returns its last words.
    ///
    /// # Errors
    /// The agent fails, or the store.
    pub(super) async fn stop(&mut self, by: wire::StoppedBy, partial: &str) -> Result<Finished, TurnFailure> {
        self.progress.open.clear();
        if self.progress.agent.is_none() {
            // It has heard nothing of this turn.
            return Ok(Finished::saying(NewMessage::assistant("")));
        }
        let partial = (!partial.is_empty()).then(|| entry(&NewMessage::assistant(partial), 0));
        let stopped = wire::Event::Stopped(wire::Stopped { by, partial });
        let applied = self.step(vec![stopped], &mut UnderWay::new()).await?;
        self.progress.open.clear();
        let last = wire::Finish { reply: wire::Reply::Last, end_session: false };
        self.finish(applied.finish.unwrap_or(last), applied.said).await
    }

    async fn first_events(&mut self, under_way: &mut UnderWay<'a>) -> Result<Vec<wire::Event>> {
        if self.progress.agent.as_deref() != Some(&self.agent.plugin) {
            self.let_go();
            return Ok(vec![means::message(self.work, &self.entries, self.told.clone())]);
        }
        let tokens = self.progress.open.iter().map(|open| open.token).collect();
        let came = self.take_up(under_way).await?;
        let mut events = vec![wire::Event::Resumed((tokens, self.told.clone()))];
        events.extend(came);
        Ok(events)
    }

    /// What may be used now, if that has changed since the agent was told. An agent that was replaced in the configuration
    /// ends its turn as it began it.
    async fn changed(&mut self) -> Result<Option<wire::Event>> {
        let services = self.work.services;
        let catalog = services.tools.catalog().await;
        let config = services.base.config.current();
        if Arc::ptr_eq(&catalog, &self.context.catalog) && Arc::ptr_eq(&config, &self.context.config) {
            return Ok(None);
        }
        let settings =
            services.agent_of(self.work.turn).ok().filter(|settings| settings.plugin == self.agent.plugin);
        let settings = settings.unwrap_or_else(|| self.context.agent.clone());
        self.agent.settings.clone_from(&settings.settings);
        let context = Context::of(self.work, settings, self.entries.called()).await?;
        self.context = Arc::new(context);
        let now = means::means(self.work, &self.context);
        if now == self.told {
            return Ok(None);
        }
        self.told.clone_from(&now);
        Ok(Some(wire::Event::Changed(now)))
    }

    /// Has the agent handle events, and commits its step, unless that ends the turn or may as well be done again: by the
    /// newest code, and if that is on probation and breaks, by the code before it.
    async fn step(
        &mut self,
        mut events: Vec<wire::Event>,
        under_way: &mut UnderWay<'a>,
    ) -> Result<Applied, TurnFailure> {
        let codes = self.agent.codes(&self.work.services.plugins).map_err(TurnFailure::permanent)?;
        let mut codes = codes.into_iter().peekable();
        let mut broken: Option<(Arc<Generation>, String)> = None;
        loop {
            let Some(code) = codes.next() else { return Err(self.broke("there is no code of it").into()) };
            if let Some((broken, why)) = broken.take() {
                self.agent.withdraw(self.work, &broken, &code, why);
            }
            let before = codes.peek().map(|_| self.before());
            let failure = match self.step_by(&code, &mut events, under_way).await {
                Ok(mut applied) => {
                    self.agent.served(self.work, code);
                    let is_safe = applied.may_be_lost();
                    self.unsaved = std::mem::take(&mut self.unsaved).then(std::mem::take(&mut applied.kept));
                    if applied.finish.is_none() && !is_safe {
                        self.commit(std::mem::take(&mut applied.said)).await?;
                    }
                    return Ok(applied);
                }
                Err(failure) => failure,
            };
            let why = match &failure {
                Broken::Code(failure) => {
                    self.work.services.plugins.report(&code, Err(failure));
                    failure.is_its_own().then(|| failure.to_string())
                }
                Broken::Rule(why) => {
                    warn!(agent = self.agent.name, plugin = self.agent.plugin, "did what it may not: {why}");
                    Some(why.clone())
                }
                Broken::Turn(_) => None,
            };
            let (Some(why), Some(before)) = (why, before) else { return Err(self.failed(failure)) };
            (self.progress, self.entries, self.agent.state) = (before.progress, before.entries, before.state);
            broken = Some((code, why));
        }
    }

    async fn step_by(
        &mut self,
        code: &Arc<Generation>,
        events: &mut Vec<wire::Event>,
        under_way: &mut UnderWay<'a>,
    ) -> Result<Applied, Broken> {
        let taken_up = self.agent.take_up(code).await.map_err(Broken::Code)?;
        if let TakenUp::Earlier(from) = &taken_up {
            // It knows nothing of this turn.
            under_way.clear();
            self.let_go();
            let (store, turn) = (&self.work.services.store, self.work.turn);
            let entries = Entries::of(
                store,
                turn,
                Some(from).filter(|from| !from.is_empty()).map(String::as_str),
                &self.progress.messages,
            )?;
            self.entries = Arc::new(entries);
            *events = vec![means::message(self.work, &self.entries, self.told.clone())];
        }
        let context = self.agent_context(code)?;
        let transcript: Arc<dyn prx_host::Transcript> = Arc::clone(&self.entries) as _;
        let mut step = self.agent.handle(code, &context, events, transcript).await.map_err(Broken::Code)?;
        bounds::check(&step, &self.progress).map_err(Broken::Rule)?;
        for command in &mut step.commands {
            filtering::command(self.work, command).await?;
        }
        // From here on it knows what came.
        self.progress.open.retain(|open| open.came.is_none());
        let mut applied = self.apply(step)?;
        self.agent.log(code, std::mem::take(&mut applied.logged));
        if taken_up != TakenUp::AsItWas {
            applied.kept.state = Some(self.agent.state.clone());
        }
        if let TakenUp::Earlier(from) = taken_up {
            applied.kept.history_from.get_or_insert(from);
        }
        self.progress.agent = Some(self.agent.plugin.clone());
        applied.kept.plugin.clone_from(&self.agent.plugin);
        applied.kept.forgotten = self.progress.forgotten;
        Ok(applied)
    }

    fn before(&self) -> Before {
        let (progress, entries) = (self.progress.clone(), Arc::clone(&self.entries));
        Before { progress, entries, state: self.agent.state.clone() }
    }

    fn failed(&self, failure: Broken) -> TurnFailure {
        match failure {
            Broken::Code(failure) => {
                let (agent, plugin) = (&self.agent.name, &self.agent.plugin);
                let error = failure.into_error(plugin);
                // Whatever it is, it is not the fault of whoever spoke.
                let code = match error.code() {
                    Code::Unavailable | Code::GatewayTimeout => error.code(),
                    _ => Code::BadGateway,
                };
                TurnFailure::permanent(Error::new(
                    code,
                    format!("The agent {agent} failed: {}", error.message()),
                ))
            }
            Broken::Rule(why) => self.broke(why).into(),
            Broken::Turn(failure) => failure,
        }
    }

    /// Keeps a step: how far the turn has come, what is said, and what the agent keeps.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn commit(&mut self, outbound: Vec<NewOutbound>) -> Result<()> {
        let agent = std::mem::take(&mut self.unsaved);
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
        self.commit(Vec::new()).await
    }

    fn agent_context(&self, code: &Generation) -> Result<wire::Context> {
        let services = self.work.services;
        let session = services.store.session(&self.work.turn.session)?;
        let config = services.base.config.current();
        let most = config.agent.max_tool_calls_per_turn;
        let made = u32::try_from(self.progress.calls().count()).unwrap_or(u32::MAX);
        let budget = config.agent.max_tokens_per_session;
        let inbound = self.work.turn.inbound.as_ref();
        Ok(wire::Context {
            agent: self.agent.name.clone(),
            config: self.agent.config(code)?,
            now: services.base.clock.now_ms(),
            // Another one for each step, and the same when a step is done again.
            seed: self.progress.seed.wrapping_add(u64::from(self.progress.steps).wrapping_mul(SEED_STEP)),
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
                language: inbound.and_then(|inbound| inbound.language.clone()).or(session.language),
                metadata: session.metadata.to_string(),
                carried: self.agent.carried.clone(),
            },
        })
    }

    async fn finish(
        &mut self,
        finish: wire::Finish,
        before: Vec<NewOutbound>,
    ) -> Result<Finished, TurnFailure> {
        self.close_calls();
        let last = self.progress.take_answer();
        let is_silent = matches!(finish.reply, wire::Reply::Silent);
        let said = match finish.reply {
            wire::Reply::Last => last.unwrap_or_else(|| NewMessage::assistant("")),
            wire::Reply::Text(text) => {
                self.show(&text);
                NewMessage::assistant(text)
            }
            wire::Reply::Silent => NewMessage::assistant(""),
            wire::Reply::Failed => {
                self.commit(before).await?;
                let failure = self.failure.take();
                let unknown = || self.broke("it ends the turn with a failure that there is not").into();
                return Err(failure.unwrap_or_else(unknown));
            }
        };
        let (kept, end_session) = (self.take_unsaved(), finish.end_session);
        Ok(Finished { before, kept, end_session, is_silent, ..Finished::saying(said) })
    }

    /// What the agent's steps have changed and nobody has kept.
    pub(super) fn take_unsaved(&mut self) -> AgentCommit {
        std::mem::take(&mut self.unsaved)
    }

    /// Shows a reply as far as it was not shown.
    fn show(&self, text: &str) {
        let shown = std::mem::take(&mut lock(&self.live).shown);
        match text.strip_prefix(shown.as_str()) {
            Some(rest) => drop(self.work.reply.token(rest)),
            None => {
                self.work.reply.event(TurnEvent::Restart { reason: "it is said otherwise".into() });
                self.work.reply.restart();
                self.work.reply.token(text);
            }
        }
    }

    fn broke(&self, why: impl std::fmt::Display) -> Error {
        Error::new(
            Code::BadGateway,
            format!("The agent {} ({}) did what it may not: {why}", self.agent.name, self.agent.plugin),
        )
    }
}
