//! A turn of a conversation: each step of the agent done twice, and what it asks for played.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Answer, Conversation, Kept, NOT_MADE, Request, cut};
use crate::agent::{
    Agent, Answered, AskModel, Command, Entry, Event, Failed, Fault, Means, Part, Reply, Role, Session, Step,
    StopReason, Token, ToolCall, ToolDone, ToolOutcome,
};
use crate::testing::imports::transcript;
use crate::wire::agent::{Context, Guest};

impl<A: Agent> Conversation<A> {
    pub(super) fn replied(&mut self, reply: Reply) -> String {
        self.close_calls();
        match reply {
            Reply::Last => {
                let last = self.entries.last().filter(|kept| kept.entry.role == Role::Assistant);
                last.map(|kept| kept.text.clone()).unwrap_or_default()
            }
            Reply::Text(text) => {
                self.keep(Role::Assistant, &text, Vec::new(), None);
                text
            }
            Reply::Silent => String::new(),
            Reply::Failed => format!("[failed: {}]", self.turn.failure),
        }
    }

    pub(super) fn history(&self) -> Vec<Entry> {
        self.entries[self.history_from..].iter().map(|kept| kept.entry.clone()).collect()
    }

    pub(super) fn means(&self) -> Means {
        Means {
            models: self.models.iter().map(|scripted| scripted.model.clone()).collect(),
            tools: self.tools.values().map(|scripted| scripted.summary.clone()).collect(),
            skills: self.skills.iter().map(|(summary, _)| summary.clone()).collect(),
        }
    }

    pub(super) fn step(&mut self, events: Vec<Event>) {
        self.calls += 1;
        self.now += 1000;
        let step = self.handle(&events).unwrap_or_else(|fault| panic!("{events:?} ended in {fault:?}"));
        let again = self.handle(&events);
        assert_eq!(Ok(&step), again.as_ref(), "the same arguments gave another step: not a pure function");
        if let Some(state) = step.state {
            let read: A::State = serde_json::from_slice(&state).expect("state that can be read back");
            let written = serde_json::to_vec(&read).expect("state that serializes");
            assert_eq!(String::from_utf8_lossy(&state), String::from_utf8_lossy(&written));
            assert!(state.len() <= 256 << 10, "a state of {} bytes", state.len());
            self.state = state;
        }
        if let Some(carry) = step.carry {
            assert!(carry.len() <= 64 << 10, "{} bytes are carried", carry.len());
            self.carry = Some(carry);
        }
        step.commands.into_iter().for_each(|command| self.take_up(command));
    }

    fn handle(&self, events: &[Event]) -> Result<Step, Fault> {
        let context = Context {
            agent: "test".into(),
            config: self.config.clone(),
            now: self.now,
            seed: self.calls,
            session: Session {
                id: "ses_test".into(),
                channel: "test".into(),
                group: false,
                language: self.language.clone(),
                metadata: "{}".into(),
                carried: self.carried.clone(),
            },
            left: self.left,
        };
        <A as Guest>::handle(context, self.state.clone(), events.to_vec())
    }

    fn take_up(&mut self, command: Command) {
        match command {
            Command::AskModel(ask) => {
                self.close_calls();
                self.open(ask.token, Command::AskModel(ask));
            }
            Command::CallTool((token, call)) => self.open(token, Command::CallTool((token, call))),
            Command::ActivateSkill((token, what)) => self.open(token, Command::ActivateSkill((token, what))),
            Command::ReadSkillFile((token, what)) => self.open(token, Command::ReadSkillFile((token, what))),
            Command::Recall((token, what)) => self.open(token, Command::Recall((token, what))),
            Command::AskPerson((token, what)) => self.open(token, Command::AskPerson((token, what))),
            Command::ToolResult(result) => {
                self.keep(Role::Tool, &result.text, Vec::new(), Some(result.call));
            }
            Command::Say(text) => {
                self.keep(Role::Assistant, &text, Vec::new(), None);
                self.turn.said.push(text);
            }
            Command::Cancel(token) => self.turn.open.retain(|(open, _)| *open != token),
            Command::Finish(finish) => {
                self.turn.open.clear();
                self.turn.ended_session = finish.end_session;
                self.turn.reply = Some(finish.reply);
            }
            Command::ForgetBefore(id) => {
                let at = self.entries.iter().position(|kept| kept.entry.id == id);
                self.history_from = at.unwrap_or_else(|| panic!("there is no entry {id}"));
            }
            Command::Log((_, line)) => self.turn.logs.push(line),
        }
    }

    fn open(&mut self, token: Token, command: Command) {
        let is_new = self.turn.open.iter().all(|(open, _)| *open != token);
        assert!(is_new, "a second command under the live token {token}");
        self.turn.open.push((token, command));
    }

    pub(super) fn perform(&mut self, token: Token, command: Command) -> Event {
        match command {
            Command::AskModel(ask) => self.ask(token, ask),
            Command::CallTool((_, call)) => self.call(token, &call),
            Command::ActivateSkill((_, (name, _))) => {
                let found = self.skills.iter().find(|(summary, _)| summary.name == name);
                let activation = found.map(|(_, activation)| activation.clone());
                Event::Activated((token, activation.ok_or_else(|| Fault::bad_input("no such skill"))))
            }
            Command::Recall((_, (_, limit))) => {
                Event::Recalled((token, self.memories.iter().take(limit as usize).cloned().collect()))
            }
            Command::ReadSkillFile(_) => Event::SkillFile((token, Err(Fault::bad_input("no such file")))),
            Command::AskPerson((_, (_, choices))) => {
                let chosen = self.choices.pop_front();
                Event::Chosen((token, chosen.filter(|id| choices.iter().any(|choice| choice.id == *id))))
            }
            other => panic!("{other:?} has no outcome"),
        }
    }

    fn ask(&mut self, token: Token, ask: AskModel) -> Event {
        let request = self.request(&ask);
        let position = self.models.iter().position(|scripted| scripted.model.name == request.model);
        let position = position.unwrap_or_else(|| panic!("there is no model {}", request.model));
        let answer = (self.models[position].answer)(&request);
        let (model, tokens) = (request.model.clone(), request.tokens());
        self.turn.requests.push(request);
        let (text, named, stop) = match answer {
            Answer::Fails(kind, message) => {
                self.turn.failure.clone_from(&message);
                return Event::Failed(Failed { token, model: Some(model), kind, message, partial: None });
            }
            Answer::Says(text) => (text, Vec::new(), StopReason::End),
            Answer::CutOff(text) => (text, Vec::new(), StopReason::Length),
            Answer::Calls(calls) => (String::new(), calls, StopReason::ToolUse),
        };
        let made = self.entries.iter().map(|kept| kept.calls.len()).sum::<usize>();
        let calls = named.into_iter().enumerate().map(|(n, (name, arguments))| ToolCall {
            id: format!("call_{}", made + n),
            name,
            arguments: arguments.to_string(),
        });
        let calls: Vec<ToolCall> = calls.collect();
        let entry = match ask.kept {
            true => self.keep(Role::Assistant, &text, calls.clone(), None),
            false => self.entry(Role::Assistant, &text, &calls, None),
        };
        let output_tokens = text.len().div_ceil(4) as u64;
        let input_tokens = tokens;
        Event::Answered(Answered { token, entry, model, text, calls, stop, input_tokens, output_tokens })
    }

    fn call(&mut self, token: Token, call: &ToolCall) -> Event {
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        let (outcome, text) = match self.tools.get_mut(&call.name) {
            None => (ToolOutcome::Failed, format!("There is no tool {}", call.name)),
            Some(tool) => match (tool.call)(&arguments) {
                Ok(text) => (ToolOutcome::Done, text),
                Err(why) => (ToolOutcome::Failed, why),
            },
        };
        let entry = self.keep(Role::Tool, &text, Vec::new(), Some(call.id.clone()));
        Event::ToolDone(ToolDone { token, entry, outcome, text })
    }

    /// The request of a command, with the kernel's rule: a call goes with its result, which follows it where it is not named.
    fn request(&self, ask: &AskModel) -> Request {
        let shortened = |id: &str| {
            ask.messages.iter().find_map(|part| match part {
                Part::Shortened((named, length)) if named == id => Some(*length as usize),
                _ => None,
            })
        };
        let (mut messages, mut named, mut placed) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for part in &ask.messages {
            if let Part::Text((role, text)) = part {
                messages.push((*role, text.clone()));
            }
            for kept in self.named(part) {
                let id = &kept.entry.id;
                assert!(named.insert(id.clone()), "an entry is named twice: {id}");
                if kept.entry.role == Role::Tool {
                    assert!(placed.contains(id), "a result is named without its call: {id}");
                    continue;
                }
                let results = kept.entry.calls.iter().map(|call| {
                    let answers = |other: &&Kept| other.entry.answers.as_ref() == Some(call);
                    self.entries.iter().find(answers).unwrap_or_else(|| panic!("nobody has answered {call}"))
                });
                for said in std::iter::once(kept).chain(results) {
                    placed.insert(said.entry.id.clone());
                    let length = shortened(&said.entry.id).unwrap_or(usize::MAX);
                    messages.push((said.entry.role, cut(&said.text, 0, length)));
                }
            }
        }
        let known = |name: &String| assert!(self.tools.contains_key(name), "there is no tool {name}");
        ask.tools.iter().for_each(known);
        let first = self.models.first().expect("a model").model.name.clone();
        Request {
            model: ask.model.clone().unwrap_or(first),
            system: ask.system.clone(),
            messages,
            tools: ask.tools.clone(),
            own_tools: ask.own_tools.iter().map(|tool| tool.name.clone()).collect(),
            shown: ask.shown,
            kept: ask.kept,
        }
    }

    /// The entries that a part names.
    fn named(&self, part: &Part) -> &[Kept] {
        let place = |id: &String| {
            let at = self.entries.iter().position(|kept| kept.entry.id == *id);
            at.unwrap_or_else(|| panic!("there is no entry {id}"))
        };
        match part {
            Part::Text(_) => &[],
            Part::Entry(id) | Part::Shortened((id, _)) => &self.entries[place(id)..][..1],
            Part::Entries((first, last)) => &self.entries[place(first)..=place(last)],
        }
    }

    /// Answers the calls that nobody has answered.
    fn close_calls(&mut self) {
        let answered: Vec<&String> =
            self.entries.iter().filter_map(|kept| kept.entry.answers.as_ref()).collect();
        let calls = self.entries.iter().flat_map(|kept| &kept.calls).map(|call| &call.id);
        let open: Vec<String> = calls.filter(|id| !answered.contains(id)).cloned().collect();
        for call in open {
            self.keep(Role::Tool, NOT_MADE, Vec::new(), Some(call));
        }
    }

    pub(super) fn keep(
        &mut self,
        role: Role,
        text: &str,
        calls: Vec<ToolCall>,
        answers: Option<String>,
    ) -> Entry {
        let entry = self.entry(role, text, &calls, answers);
        transcript::keep(&entry.id, text);
        self.entries.push(Kept { entry: entry.clone(), text: text.to_owned(), calls });
        entry
    }

    fn entry(&self, role: Role, text: &str, calls: &[ToolCall], answers: Option<String>) -> Entry {
        Entry {
            id: format!("msg_{}", self.entries.len() + 1),
            role,
            bytes: u32::try_from(text.len()).expect("a short text"),
            tokens: u32::try_from(text.len().div_ceil(4)).expect("a short text"),
            attachments: 0,
            at: self.now,
            calls: calls.iter().map(|call| call.id.clone()).collect(),
            answers,
            sender: None,
        }
    }
}
