//! What a step of an agent asks for, taken in as far as it may ask for that.

use super::applied::Applied;
use super::compose;
use super::course::{Broken, Course};
use super::progress::Open;
use super::reply;
use prx_base::config::Policy;
use prx_host::bindings::agent as wire;
use prx_store::NewMessage;

/// What stands for the result of a call that the agent let be.
const NOT_MADE: &str = "not made";
/// What stands for the result of a call that the agent gave up.
const GIVEN_UP: &str = "given up while it was at work; nobody knows how far it came";

impl Course<'_> {
    /// Takes in what a step wants that is within its bounds.
    ///
    /// # Errors
    /// It wants what it may not.
    pub(super) fn apply(&mut self, step: wire::Step) -> Result<Applied, Broken> {
        self.progress.steps += 1;
        let mut applied = Applied::default();
        if let Some(bytes) = step.state {
            self.agent.state.bytes = bytes;
            applied.kept.state = Some(self.agent.state.clone());
        }
        applied.kept.left = step.carry;
        for command in step.commands {
            use wire::Command::{Cancel, ForgetBefore, Log, ToolResult};
            let ends_too = matches!(command, Cancel(_) | ForgetBefore(_) | Log(_) | ToolResult(_));
            if applied.finish.is_some() && !ends_too {
                return Err(Broken::Rule("it goes on behind the end of the turn".into()));
            }
            self.command(command, &mut applied)?;
        }
        Ok(applied)
    }

    fn command(&mut self, command: wire::Command, applied: &mut Applied) -> Result<(), Broken> {
        use wire::Command;
        match command {
            Command::AskModel(ask) => self.ask(ask, applied)?,
            Command::CallTool((token, call)) => {
                let is_asked = self.progress.idle_calls().iter().any(|asked| {
                    asked.id == call.id && asked.name == call.name && asked.arguments == call.arguments
                });
                if !is_asked {
                    let what = format!("it makes a call that no model asks for: {} {}", call.name, call.id);
                    return Err(Broken::Rule(what));
                }
                self.open(token, Command::CallTool((token, call)), applied)?;
            }
            Command::ToolResult(result) => {
                if !self.progress.idle_calls().iter().any(|asked| asked.id == result.call) {
                    let what = format!("it answers a call that there is not: {}", result.call);
                    return Err(Broken::Rule(what));
                }
                self.settle(NewMessage::tool(result.call, result.text, result.is_error));
            }
            Command::ActivateSkill((token, what)) => {
                self.open(token, Command::ActivateSkill((token, what)), applied)?;
            }
            Command::ReadSkillFile((token, what)) => {
                self.open(token, Command::ReadSkillFile((token, what)), applied)?;
            }
            Command::Recall((token, what)) => self.open(token, Command::Recall((token, what)), applied)?,
            Command::AskPerson((token, what)) => {
                self.open(token, Command::AskPerson((token, what)), applied)?;
            }
            Command::Say(text) => {
                self.progress.said += 1;
                applied.said.extend(reply::in_between(self.work, &text));
                self.keep(NewMessage::assistant(text));
            }
            Command::Cancel(token) => self.give_up(token),
            Command::Finish(finish) => applied.finish = Some(finish),
            Command::ForgetBefore(id) => match self.entries.get(&id) {
                Some(_) => applied.kept.history_from = Some(id),
                None => return Err(Broken::Rule(format!("it names an entry that there is not: {id}"))),
            },
            Command::Log(line) => applied.logged.push(line),
        }
        Ok(())
    }

    fn ask(&mut self, ask: wire::AskModel, applied: &mut Applied) -> Result<(), Broken> {
        self.close_calls();
        compose::parts(&self.entries, &ask.messages).map_err(|misfit| Broken::Rule(misfit.to_string()))?;
        let is_taken = |shown: &str| {
            self.context.terms.has_tool(shown)
                || self.context.policy_of(self.context.names.own(shown)).is_some()
        };
        if let Some(own) = ask.own_tools.iter().find(|own| is_taken(&own.name)) {
            return Err(Broken::Rule(format!("its own tool has the name of another one: {}", own.name)));
        }
        self.progress.asked += 1;
        self.open(ask.token, wire::Command::AskModel(ask), applied)
    }

    fn open(
        &mut self,
        token: wire::Token,
        command: wire::Command,
        applied: &mut Applied,
    ) -> Result<(), Broken> {
        if self.progress.open.iter().any(|open| open.token == token) {
            return Err(Broken::Rule(format!("it asks twice under the token {token}")));
        }
        let begun = match &command {
            wire::Command::CallTool((_, call)) => self.changes_something(&call.name) == Some(Policy::Allow),
            _ => false,
        };
        let open = Open { token, command, begun, allowed: None, came: None };
        self.progress.open.push(open.clone());
        if !self.is_callers_part(&open) {
            applied.begun.push(open);
        }
        Ok(())
    }

    /// What the operator says about a tool that may change something; none for one that only reads, and for one that can't
    /// be called.
    fn changes_something(&self, tool: &str) -> Option<Policy> {
        let changes = !self.context.catalog.tool(tool)?.definition().read_only;
        self.context.policy_of(tool).filter(|_| changes)
    }

    fn give_up(&mut self, token: wire::Token) {
        let Some(at) = self.progress.open.iter().position(|open| open.token == token) else { return };
        let given_up = self.progress.open.remove(at);
        if let Some(cancel) = self.cancels.remove(&token) {
            cancel.abort();
        }
        if let wire::Command::CallTool((_, call)) = given_up.command
            && given_up.came.is_none()
        {
            // A person was still being asked.
            let is_idle = !given_up.begun && self.changes_something(&call.name) == Some(Policy::Ask);
            let what = if is_idle { NOT_MADE } else { GIVEN_UP };
            self.settle(NewMessage::tool(call.id, what, true));
        }
    }

    /// Gives up all that is under way, for an agent that knows nothing of it.
    pub(super) fn let_go(&mut self) {
        let tokens: Vec<wire::Token> = self.progress.open.iter().map(|open| open.token).collect();
        tokens.into_iter().for_each(|token| self.give_up(token));
        self.close_calls();
    }

    /// Answers the calls that nobody makes.
    pub(super) fn close_calls(&mut self) {
        for call in self.progress.idle_calls() {
            self.settle(NewMessage::tool(call.id, NOT_MADE, true));
        }
    }
}
