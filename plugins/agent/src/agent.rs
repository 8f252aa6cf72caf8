//! The events of a turn, in order.

use prx_sdk::agent::{
    Activation, Agent, Answered, Command, Commands, Context, Event, Failed, FailureKind, Fault, LogLevel,
    Message, Reply, Role, StopReason, Token, ToolCall, ToolDone,
};

use crate::carry::{self, Carried};
use crate::command;
use crate::config::Config;
use crate::request::{self, tokens};
use crate::skills;
use crate::state::{Known, KnownModel, KnownRole, State, Turn, Wait};
use crate::summary;
use crate::words::{self, Words};

/// How often a request is made smaller after a model has refused it for its length.
const MAX_REFUSALS: u32 = 4;
/// The result of a call for which nothing is left of the turn's limit.
const NOT_LEFT: &str =
    "not called: the turn has used up agent.max_tool_calls_per_turn; answer with what there is";

/// The agent that is always there.
pub struct Assistant;

/// What each step works with.
pub(crate) struct Work<'a> {
    pub cx: &'a Context<Config>,
    pub state: &'a mut State,
    pub out: &'a mut Commands,
}

impl Agent for Assistant {
    type Config = Config;
    type State = State;

    fn handle(
        cx: &Context<Config>,
        state: &mut State,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault> {
        let mut work = Work { cx, state, out };
        if let Event::Message(message) = event {
            work.begin(message);
            return Ok(());
        }
        let Some(mut turn) = work.state.turn.take() else {
            return match event {
                Event::Stopped(_) => {
                    work.out.finish(Reply::Last);
                    Ok(())
                }
                _ => Err(Fault::internal("an event of a turn that has not begun")),
            };
        };
        let goes_on = match event {
            Event::Activated((token, activation)) => work.activated(&mut turn, token, activation),
            Event::Recalled((token, memories)) => {
                turn.over(token);
                turn.memories = memories;
                work.advance(&mut turn)
            }
            Event::Answered(answered) => work.answered(&mut turn, answered),
            Event::Failed(failed) => work.failed(&mut turn, failed),
            Event::ToolDone(done) => work.tool_done(&mut turn, &done),
            Event::Changed(means) => {
                turn.may_use(means);
                true
            }
            Event::Resumed((_, means)) => {
                turn.may_use(means);
                !turn.waits.is_empty() || work.advance(&mut turn)
            }
            Event::Stopped(_) => {
                work.out.finish(Reply::Last);
                false
            }
            Event::SkillFile((token, text)) => work.skill_file(&mut turn, token, text),
            Event::Message(_) | Event::Chosen(_) => true,
        };
        if goes_on {
            work.state.turn = Some(turn);
        } else {
            work.leave(&turn);
        }
        Ok(())
    }
}

impl Work<'_> {
    pub(crate) fn words(&self) -> &'static Words {
        words::of(&self.cx.config.language, self.cx.session.language.as_deref())
    }

    /// Begins a turn: a command, or what is to be known before a model is asked.
    fn begin(&mut self, message: Message) {
        if self.state.carried.is_none() {
            self.take_over();
        }
        let known = message.conversation().map(Known::from).collect();
        // What a tool of the caller's has answered is nobody's words.
        let is_result = message.entry.role == Role::Tool;
        let text = if is_result { String::new() } else { message.text };
        let mut turn = Turn { text, own: message.history.len(), known, ..Turn::default() };
        let skills = message.means.skills.clone();
        turn.may_use(message.means);
        let goes_on = match command::of(&turn.text) {
            _ if is_result => self.advance(&mut turn),
            Some(command) => self.command(&mut turn, command, &skills),
            None => self.prepare(&mut turn, &skills),
        };
        if !goes_on {
            self.leave(&turn);
        }
        self.state.turn = goes_on.then_some(turn);
    }

    /// Goes on from where the session before has ended.
    fn take_over(&mut self) {
        let carried = Carried::of(self.cx);
        self.state.carried = Some(carried.is_some());
        self.state.owes_word = carried.is_some_and(|carried| !carried.whole && !carried.told);
    }

    /// Leaves what the next session is to be given.
    fn leave(&mut self, turn: &Turn) {
        let mut left = Carried::left(self.cx, self.state, turn);
        left.told = self.cx.left.turns == 0;
        self.out.carry(left.bytes());
    }

    fn prepare(&mut self, turn: &mut Turn, skills: &[prx_sdk::agent::SkillSummary]) -> bool {
        if let Some((skill, rest)) = skills::triggered(skills, &turn.text) {
            let (skill, rest) = (skill.to_owned(), rest.to_owned());
            let token = turn.next();
            turn.waits.push(Wait::Skill(token));
            self.out.activate_skill(token, skill, rest);
        }
        if self.cx.config.memories > 0 {
            let token = turn.next();
            turn.waits.push(Wait::Memories(token));
            self.out.recall(token, turn.text.clone(), self.cx.config.memories);
        }
        self.advance(turn)
    }

    /// Asks the model once nothing is waited for, or for a summary before. Returns whether the turn goes on.
    fn advance(&mut self, turn: &mut Turn) -> bool {
        if !turn.waits.is_empty() {
            return true;
        }
        if let Some(end) = summary::due(self.cx, self.state, turn) {
            return self.summarize(turn, end);
        }
        let token = turn.next();
        turn.waits.push(Wait::Model(token));
        self.out.ask_model(request::question(self.cx, self.state, turn, token));
        true
    }

    pub(crate) fn summarize(&mut self, turn: &mut Turn, end: usize) -> bool {
        turn.summaries += 1;
        let part = summary::part(self.cx, self.state, turn, end);
        turn.rest = end - part;
        let end = part;
        let token = turn.next();
        turn.waits.push(Wait::Summary(token, end));
        self.out.ask_model(summary::question(self.cx, self.state, turn, end, token));
        true
    }

    fn activated(&mut self, turn: &mut Turn, token: Token, activation: Result<Activation, Fault>) -> bool {
        if let Some(Wait::SkillCall(_, call)) = turn.over(token) {
            let (text, is_error) = match activation {
                Ok(Activation::Reply(text)) => (text, false),
                Ok(Activation::Instruct(instructions)) => (instructions.text, false),
                Err(fault) => (fault.message, true),
            };
            self.out.tool_result(call, text, is_error);
            return self.advance(turn);
        }
        match activation {
            Ok(Activation::Reply(text)) => self.say(turn, text),
            Ok(Activation::Instruct(instructions)) => {
                (turn.instructions, turn.only) = (instructions.text, instructions.tools);
                self.advance(turn)
            }
            Err(fault) => {
                self.out.log(LogLevel::Warn, format!("the skill failed: {}", fault.message));
                self.advance(turn)
            }
        }
    }

    fn answered(&mut self, turn: &mut Turn, answered: Answered) -> bool {
        match turn.over(answered.token) {
            Some(Wait::Summary(_, end)) => self.summarized(turn, end, answered.text.trim()),
            Some(Wait::Closing(_, end)) => self.close(turn, end, answered.text.trim()),
            Some(Wait::Model(_)) => {
                self.learn(turn, &answered);
                turn.known.push(Known::from(&answered.entry));
                match answered.calls.is_empty() {
                    true => self.last(turn, &answered),
                    false => self.call(turn, answered),
                }
            }
            _ => true,
        }
    }

    /// Notes how much more a request costs than its entries do: tools, and what an estimate misses.
    fn learn(&mut self, turn: &Turn, answered: &Answered) {
        let taken = answered.input_tokens;
        if let Some(learned) = self.state.learned.as_mut().filter(|learned| learned.name == answered.model) {
            // It takes more than was thought.
            learned.window = learned.window.map(|window| window.max(taken));
        }
        if taken > 0 {
            let estimate = request::cost(&turn.known) + tokens(&carry::earlier(self.cx, self.state));
            self.state.overhead = taken.saturating_sub(estimate);
        }
    }

    /// The answer is the reply.
    fn last(&mut self, turn: &mut Turn, answered: &Answered) -> bool {
        // What was shown of it stays as it is.
        let (words, text) = (self.words(), answered.text.as_str());
        let mut notes = Vec::new();
        match answered.stop {
            StopReason::Length => notes.push(words.cut_off),
            StopReason::Refused if text.is_empty() => notes.push(words.refused),
            _ => {}
        }
        if std::mem::take(&mut self.state.owes_word) {
            notes.push(words.part_is_known);
        }
        let said = std::iter::once(text).filter(|text| !text.is_empty()).chain(notes.iter().copied());
        let said = said.collect::<Vec<_>>().join("\n\n");
        if self.cx.left.turns > 0 && notes.is_empty() {
            self.out.finish(Reply::Last);
            return false;
        }
        self.say(turn, said)
    }

    /// Ends the turn with these words. Where they end the session, they say so, and what is left for the next one is complete,
    /// with the help of a model where that takes a summary.
    pub(crate) fn say(&mut self, turn: &mut Turn, said: String) -> bool {
        if self.cx.left.turns > 0 {
            self.out.finish(Reply::Text(said));
            return false;
        }
        turn.reply = Some(said);
        if Carried::left(self.cx, self.state, turn).whole {
            return self.say_farewell(turn, self.words().session_ends);
        }
        self.summarize_session(turn)
    }

    fn summarize_session(&mut self, turn: &mut Turn) -> bool {
        let end = summary::part(self.cx, self.state, turn, turn.known.len());
        let token = turn.next();
        turn.waits.push(Wait::Closing(token, end));
        self.out.ask_model(summary::question(self.cx, self.state, turn, end, token));
        true
    }

    fn close(&mut self, turn: &mut Turn, end: usize, summary: &str) -> bool {
        if summary.is_empty() {
            return self.say_farewell(turn, self.words().session_ends_in_part);
        }
        let most = summary::max_bytes(self.state, turn);
        self.state.has_summary(summary[..summary.floor_char_boundary(most)].to_owned());
        turn.known.drain(..end.min(turn.known.len()));
        match Carried::left(self.cx, self.state, turn).whole {
            true => self.say_farewell(turn, self.words().session_ends),
            false => self.summarize_session(turn),
        }
    }

    fn say_farewell(&mut self, turn: &mut Turn, words: &str) -> bool {
        let said = turn.reply.take().unwrap_or_default();
        let gap = if said.is_empty() { "" } else { "\n\n" };
        self.out.finish(Reply::Text(format!("{said}{gap}{words}")));
        false
    }

    /// Makes the calls that the model asks for, as many as are left.
    fn call(&mut self, turn: &mut Turn, answered: Answered) -> bool {
        if turn.told_no_calls_left {
            let text = answered.text.trim();
            let made = turn.known[turn.own..].iter().filter(|known| known.role == KnownRole::Tool).count();
            let none = || words::with(self.words().no_calls_left, &[&made.to_string()]);
            let text = if text.is_empty() { none() } else { text.to_owned() };
            return self.say(turn, text);
        }
        let left = self.cx.left.tool_calls as usize;
        for (n, call) in answered.calls.into_iter().enumerate() {
            if n >= left {
                turn.told_no_calls_left = true;
                self.out.tool_result(call.id, NOT_LEFT, true);
            } else if call.name == skills::TOOL && skills::tool(turn).is_some() {
                self.bring_in(turn, call);
            } else {
                let token = turn.next();
                turn.waits.push(Wait::Tool(token));
                self.out.call_tool(token, call);
            }
        }
        self.advance(turn)
    }

    /// Answers a call with which the model brings in a skill.
    fn bring_in(&mut self, turn: &mut Turn, call: ToolCall) {
        let wanted = match skills::wanted(turn, &call) {
            Ok(wanted) => wanted,
            Err(why) => return self.out.tool_result(call.id, why, true),
        };
        let token = turn.next();
        turn.waits.push(Wait::SkillCall(token, call.id));
        match wanted.file {
            Some(file) => self.out.push(Command::ReadSkillFile((token, (wanted.name, file)))),
            None => self.out.activate_skill(token, wanted.name, String::new()),
        }
    }

    fn skill_file(&mut self, turn: &mut Turn, token: Token, text: Result<String, Fault>) -> bool {
        if let Some(Wait::SkillCall(_, call)) = turn.over(token) {
            let is_error = text.is_err();
            self.out.tool_result(call, text.unwrap_or_else(|fault| fault.message), is_error);
        }
        self.advance(turn)
    }

    fn tool_done(&mut self, turn: &mut Turn, done: &ToolDone) -> bool {
        turn.over(done.token);
        turn.known.push(Known::from(&done.entry));
        self.advance(turn)
    }

    fn failed(&mut self, turn: &mut Turn, failed: Failed) -> bool {
        match turn.over(failed.token) {
            Some(Wait::Summary(_, end)) => self.not_summarized(turn, end, &failed),
            Some(Wait::Closing(..)) => {
                let why = format!("the session could not be summarized: {}", failed.message);
                self.out.log(LogLevel::Warn, why);
                self.say_farewell(turn, self.words().session_ends_in_part)
            }
            Some(Wait::Model(_)) => match failed.kind {
                FailureKind::TooLong(window) if turn.refusals < MAX_REFUSALS => self.too_long(turn, window),
                _ => self.give_up(),
            },
            _ => true,
        }
    }

    /// Asks again with less, if less can be asked.
    fn too_long(&mut self, turn: &mut Turn, window: Option<u64>) -> bool {
        let shortened = request::shortened(self.cx, self.state, turn).len();
        self.refused(turn, window, request::cost(&turn.known));
        let is_less = summary::due(self.cx, self.state, turn).is_some()
            || request::shortened(self.cx, self.state, turn).len() > shortened;
        if is_less { self.advance(turn) } else { self.give_up() }
    }

    /// Notes that a model has refused what costs so much, for its length.
    fn refused(&mut self, turn: &mut Turn, window: Option<u64>, cost: u64) {
        let window = window.unwrap_or(cost / 4 * 3).min(cost / 10 * 9).max(1);
        let name = request::model(self.state, turn).map(|model| model.name.clone()).unwrap_or_default();
        self.state.learned = Some(KnownModel { name, window: Some(window) });
        turn.refusals += 1;
    }

    fn give_up(&mut self) -> bool {
        self.out.finish(Reply::Failed);
        false
    }

    fn summarized(&mut self, turn: &mut Turn, end: usize, text: &str) -> bool {
        let text = &text[..text.floor_char_boundary(summary::max_bytes(self.state, turn))];
        if text.is_empty() {
            return self.forget(turn, end);
        }
        self.state.has_summary(text.to_owned());
        self.leave_behind(turn, end);
        turn.covered += end;
        if turn.rest > 0 {
            return self.summarize(turn, turn.rest);
        }
        if turn.compacts {
            let count = turn.covered.to_string();
            return self.say(turn, words::with(self.words().compacted, &[&count]));
        }
        self.advance(turn)
    }

    fn not_summarized(&mut self, turn: &mut Turn, end: usize, failed: &Failed) -> bool {
        if let FailureKind::TooLong(window) = failed.kind
            && turn.refusals < MAX_REFUSALS
        {
            let all = end + turn.rest;
            self.refused(turn, window, summary::cost_of(turn, end));
            if summary::part(self.cx, self.state, turn, all) < end {
                return self.summarize(turn, all);
            }
        }
        if turn.compacts {
            return self.give_up();
        }
        self.out.log(LogLevel::Warn, format!("what was said could not be summarized: {}", failed.message));
        self.forget(turn, end)
    }

    /// Goes on without the older part, and says so where the model and later turns see it.
    fn forget(&mut self, turn: &mut Turn, end: usize) -> bool {
        let note = self.words().forgotten;
        let mut summary = carry::earlier(self.cx, self.state).into_owned();
        if !summary.ends_with(note) {
            let gap = if summary.is_empty() { "" } else { "\n\n" };
            summary.push_str(&format!("{gap}{note}"));
        }
        self.state.has_summary(summary);
        self.leave_behind(turn, end);
        self.advance(turn)
    }

    fn leave_behind(&mut self, turn: &mut Turn, end: usize) {
        if let Some(first) = turn.known.get(end) {
            self.out.forget_before(first.id.clone());
        }
        turn.known.drain(..end.min(turn.known.len()));
        turn.own = turn.own.saturating_sub(end);
        self.leave(turn);
    }
}
