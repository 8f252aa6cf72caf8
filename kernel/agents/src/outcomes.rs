//! What an agent asked for, begun, and what came of it as it is told.

use std::sync::Arc;

use futures_util::future::{AbortHandle, Abortable, Aborted};

use super::ask::{self, Done, Outcome};
use super::calls::CallResult;
use super::completion::Answer;
use super::course::{Course, UnderWay};
use super::entries::entry;
use super::failure::TurnFailure;
use super::progress::Open;
use super::stream::TurnEvent;
use prx_base::error::Result;
use prx_host::bindings::{agent as wire, common};
use prx_store::{Decision, NewMessage, ToolCall};

/// The result of a call of which nobody knows whether it was made.
const UNKNOWN: &str = "The outcome of this call is unknown: the gateway stopped while it was at work. Find out whether it was \
                       made before you make it again.";

/// Work counts as a task of the turn's timer, also when it is given up.
struct Task<'a>(&'a super::work_timer::WorkTimer);

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.0.pause();
    }
}

impl<'a> Course<'a> {
    /// Begins what was asked for.
    pub(super) fn begin(&mut self, under_way: &mut UnderWay<'a>, open: Open) {
        let token = open.token;
        let is_shown = matches!(&open.command, wire::Command::AskModel(ask) if ask.shown);
        let live = if is_shown { Arc::clone(&self.live) } else { Arc::default() };
        let doing = ask::Doing {
            work: self.work,
            context: Arc::clone(&self.context),
            entries: Arc::clone(&self.entries),
            live,
            calls_before: self.progress.calls_before(&open),
            asked: self.progress.asked,
        };
        let (abort, registration) = AbortHandle::new_pair();
        self.cancels.insert(token, abort);
        self.work.timer.resume();
        let task = Task(self.work.timer);
        let doing = async move {
            let done = ask::perform(doing, open).await;
            drop(task);
            Outcome { token, done }
        };
        under_way.push(Box::pin(Abortable::new(doing, registration)));
    }

    /// Takes up what was asked for before a crash, or before the attempt that ended: tells what came of it, or begins it
    /// again. A call that may have been made is not made again, and its outcome is unknown.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn take_up(&mut self, under_way: &mut UnderWay<'a>) -> Result<Vec<wire::Event>> {
        let mut events = Vec::new();
        let mut is_lost = false;
        for at in 0..self.progress.open.len() {
            let open = self.progress.open[at].clone();
            let token = open.token;
            match (open.came.clone(), &open.command) {
                (Some(mut came), command) => {
                    if let (wire::Event::ToolDone(done), wire::Command::CallTool((_, call))) =
                        (&mut came, command)
                    {
                        done.text = self
                            .progress
                            .result(&call.id)
                            .map(|said| said.content.clone())
                            .unwrap_or_default();
                    }
                    events.push(came);
                }
                (None, wire::Command::CallTool((_, call))) if open.begun => {
                    self.expire_questions(&call.id).await?;
                    let result = self.settle(NewMessage::tool(call.id.clone(), UNKNOWN, true));
                    let told = self.tool_done(token, &result, wire::ToolOutcome::Unknown);
                    self.note(token, &told);
                    events.push(told);
                    is_lost = true;
                }
                (None, _) if self.is_callers_part(&open) => {}
                (None, _) => self.begin(under_way, open),
            }
        }
        if is_lost {
            self.save().await?;
        }
        Ok(events)
    }

    /// Ends what was asked while a call was at work: nobody waits for that any more.
    async fn expire_questions(&self, call: &str) -> Result<()> {
        let (store, session) = (&self.work.services.store, &self.work.turn.session);
        for approval in store.approvals(session)?.iter().filter(|approval| approval.asked.call == call) {
            store.decide_approval(session, &approval.id, Decision::Expired).await?;
        }
        Ok(())
    }

    /// Takes in what came of something; none if there is nothing to be told yet. The results of tools are kept before
    /// anyone is told.
    ///
    /// # Errors
    /// The store has failed.
    pub(super) async fn take(
        &mut self,
        under_way: &mut UnderWay<'a>,
        outcome: Result<Outcome, Aborted>,
    ) -> Result<Option<wire::Event>> {
        let Ok(Outcome { token, done }) = outcome else { return Ok(None) };
        self.cancels.remove(&token);
        let Some(at) = self.progress.open.iter().position(|open| open.token == token) else {
            return Ok(None);
        };
        let event = match done {
            Done::Allowed(arguments) => {
                self.progress.open[at].begun = true;
                self.progress.open[at].allowed = Some(arguments);
                self.save().await?;
                self.begin(under_way, self.progress.open[at].clone());
                return Ok(None);
            }
            Done::Answered { answer, usage } => {
                self.progress.usage = self.progress.usage.plus(usage);
                let command = &self.progress.open[at].command;
                let is_kept = matches!(command, wire::Command::AskModel(ask) if ask.kept);
                self.answered(token, *answer, is_kept)
            }
            Done::NotAnswered { failure, usage } => {
                self.progress.usage = self.progress.usage.plus(usage);
                let failure = *failure;
                let message = failure.error.message().to_owned();
                let (kind, model) = (failure.kind, failure.model);
                self.failure =
                    Some(TurnFailure { refused: failure.refused, ..TurnFailure::permanent(failure.error) });
                wire::Event::Failed(wire::Failed { token, model, kind, message, partial: None })
            }
            Done::Called(called) => {
                let CallResult { result, event, outcome } = *called;
                self.progress.events.extend(event);
                let result = self.settle(result);
                let told = self.tool_done(token, &result, outcome);
                self.note(token, &told);
                self.save().await?;
                self.work.reply.event(TurnEvent::ToolResult {
                    id: result.tool_call_id.unwrap_or_default(),
                    content: result.content,
                    is_error: result.is_error,
                });
                told
            }
            Done::Activated(activation) => wire::Event::Activated((token, activation)),
            Done::Recalled(memories) => wire::Event::Recalled((token, memories)),
            Done::SkillFile(text) => wire::Event::SkillFile((token, text)),
            Done::Chosen(choice) => wire::Event::Chosen((token, choice)),
        };
        self.note(token, &event);
        Ok(Some(event))
    }

    /// Notes what came, until the agent has been told. What is kept elsewhere is not noted twice.
    fn note(&mut self, token: wire::Token, event: &wire::Event) {
        let noted = match event {
            wire::Event::ToolDone(done) => {
                wire::Event::ToolDone(wire::ToolDone { text: String::new(), ..done.clone() })
            }
            event => event.clone(),
        };
        if let Some(open) = self.progress.open.iter_mut().find(|open| open.token == token) {
            open.came = Some(noted);
        }
    }

    fn tool_done(&self, token: wire::Token, result: &NewMessage, outcome: wire::ToolOutcome) -> wire::Event {
        let entry = entry(result, self.work.services.base.clock.now_ms());
        wire::Event::ToolDone(wire::ToolDone { token, entry, outcome, text: result.content.clone() })
    }

    fn answered(&mut self, token: wire::Token, answer: Answer, is_kept: bool) -> wire::Event {
        let Answer { completion, provider, model, data } = answer;
        let calls = completion.tool_calls.into_iter();
        let calls: Vec<ToolCall> =
            calls.map(|call| ToolCall { id: call.id, name: call.name, arguments: call.arguments }).collect();
        let at = self.work.services.base.clock.now_ms();
        let said = match is_kept {
            true => {
                let id = self.work.services.store.new_message_id();
                let said = self.progress.answer(id, completion.text, calls, data).clone();
                Arc::make_mut(&mut self.entries).push(said.clone(), at);
                said
            }
            false => NewMessage::assistant(completion.text),
        };
        let call = |call: &ToolCall| common::ToolCall {
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

    /// Takes in the result of a call, and returns it as it is kept.
    pub(super) fn settle(&mut self, result: NewMessage) -> NewMessage {
        let result = self.named(result);
        Arc::make_mut(&mut self.entries).push(result.clone(), self.work.services.base.clock.now_ms());
        self.progress.settle(result.clone());
        result
    }

    /// Takes in something that is said before the end, and that filters have let pass.
    pub(super) fn keep(&mut self, said: NewMessage) {
        let said = self.named(said);
        Arc::make_mut(&mut self.entries).push(said.clone(), self.work.services.base.clock.now_ms());
        self.progress.filtered.extend(said.id.clone());
        self.progress.messages.push(said);
    }

    fn named(&self, said: NewMessage) -> NewMessage {
        let id = said.id.unwrap_or_else(|| self.work.services.store.new_message_id());
        NewMessage { id: Some(id), ..said }
    }
}
