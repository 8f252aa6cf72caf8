//! A gateway around an agent: scripted models and tools, and the kernel's rules.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::imports::transcript;
use crate::agent::{
    Activation, Agent, Allowance, Answered, AskModel, Command, Entry, Event, Failed, FailureKind, Fault,
    Means, Message, Model, Part, Reply, Role, Session, SkillSummary, Step, StopReason, Stopped, StoppedBy,
    Token, ToolCall, ToolDone, ToolOutcome, ToolPolicy, ToolSummary,
};
use crate::wire::agent::{Context, Guest};

/// What stands for the result of a call that nobody made.
const NOT_MADE: &str = "not made";

/// One session with an agent, whose models and tools a test plays. Each step is done twice, as after a crash before it
/// was committed, and must come out the same.
pub struct Conversation<A> {
    config: String,
    now: u64,
    calls: u64,
    state: Vec<u8>,
    carried: Option<Vec<u8>>,
    carry: Option<Vec<u8>>,
    entries: Vec<Kept>,
    /// The first entry that is part of the history.
    history_from: usize,
    models: Vec<ScriptedModel>,
    tools: BTreeMap<String, ScriptedTool>,
    skills: Vec<(SkillSummary, Activation)>,
    memories: Vec<String>,
    language: Option<String>,
    left: Allowance,
    turn: Turn,
    /// Whether the process ends after each commit, and another one takes the turn up.
    crashes: bool,
    agent: std::marker::PhantomData<A>,
}

struct Kept {
    entry: Entry,
    text: String,
    calls: Vec<ToolCall>,
}

struct ScriptedModel {
    model: Model,
    answer: Box<dyn FnMut(&Request) -> Answer>,
}

struct ScriptedTool {
    summary: ToolSummary,
    call: Box<dyn FnMut(&Value) -> Result<String, String>>,
}

/// What has happened since the last message.
#[derive(Default)]
struct Turn {
    requests: Vec<Request>,
    said: Vec<String>,
    logs: Vec<String>,
    /// What is under way.
    open: Vec<(Token, Command)>,
    reply: Option<Reply>,
    ended_session: bool,
    /// What failed last.
    failure: String,
}

/// What a model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `provider/model`.
    pub model: String,
    /// The system prompt.
    pub system: String,
    /// What was said, oldest first.
    pub messages: Vec<(Role, String)>,
    /// The names of the gateway's tools that it may call.
    pub tools: Vec<String>,
    /// Those of the agent's own.
    pub own_tools: Vec<String>,
    /// Whether the answer is shown as it comes.
    pub shown: bool,
    /// Whether it becomes part of the transcript.
    pub kept: bool,
}

impl Request {
    /// An estimate of what it costs, in tokens.
    pub fn tokens(&self) -> u64 {
        let texts = self.messages.iter().map(|(_, text)| text.len()).sum::<usize>() + self.system.len();
        texts.div_ceil(4) as u64
    }
}

/// What a scripted model does.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It says this.
    Says(String),
    /// It asks for tools, by name and arguments.
    Calls(Vec<(String, Value)>),
    /// It answers this much and is cut off.
    CutOff(String),
    /// The request fails.
    Fails(FailureKind, String),
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Self::Says(text.to_owned())
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::Says(text)
    }
}

impl Answer {
    /// It asks for one tool.
    pub fn call(name: &str, arguments: Value) -> Self {
        Self::Calls(vec![(name.to_owned(), arguments)])
    }
}

impl<A: Agent> Conversation<A> {
    /// A session of the agent `test` with this configuration.
    pub fn new(config: impl Serialize) -> Self {
        transcript::clear();
        Self {
            config: serde_json::to_string(&config).expect("a configuration that serializes"),
            now: 1_700_000_000_000,
            calls: 0,
            state: Vec::new(),
            carried: None,
            carry: None,
            entries: Vec::new(),
            history_from: 0,
            models: Vec::new(),
            tools: BTreeMap::new(),
            skills: Vec::new(),
            memories: Vec::new(),
            language: None,
            left: Allowance { model_calls: 1000, tool_calls: 1000, tokens: None, ms: 600_000, turns: 1000 },
            turn: Turn::default(),
            crashes: false,
            agent: std::marker::PhantomData,
        }
    }

    /// A model: of no known window, the operator's choice if it is the first.
    pub fn model(&mut self, name: &str, answer: impl FnMut(&Request) -> Answer + 'static) {
        let model = Model { name: name.to_owned(), window: None, max_output: None, pictures: false };
        self.models.push(ScriptedModel { model, answer: Box::new(answer) });
    }

    /// A model with a window of so many tokens, which refuses what is larger.
    pub fn model_with_window(
        &mut self,
        name: &str,
        window: u64,
        mut answer: impl FnMut(&Request) -> Answer + 'static,
    ) {
        let guarded = move |request: &Request| match request.tokens() > window {
            true => Answer::Fails(FailureKind::TooLong(Some(window)), "too long".into()),
            false => answer(request),
        };
        let model = Model { name: name.to_owned(), window: Some(window), max_output: None, pictures: false };
        self.models.push(ScriptedModel { model, answer: Box::new(guarded) });
    }

    /// A tool.
    pub fn tool(&mut self, name: &str, call: impl FnMut(&Value) -> Result<String, String> + 'static) {
        let summary = ToolSummary {
            name: name.to_owned(),
            source: "test".into(),
            read_only: false,
            policy: ToolPolicy::Allow,
        };
        self.tools.insert(name.to_owned(), ScriptedTool { summary, call: Box::new(call) });
    }

    /// A skill with a trigger, and what it makes of a message.
    pub fn skill(&mut self, name: &str, trigger: &str, activation: Activation) {
        let summary = SkillSummary {
            name: name.to_owned(),
            description: format!("{name} for tests"),
            triggers: vec![trigger.to_owned()],
        };
        self.skills.push((summary, activation));
    }

    /// What is remembered of the person.
    pub fn remembers(&mut self, text: &str) {
        self.memories.push(text.to_owned());
    }

    /// The language that the platform or the operator says.
    pub fn speaks(&mut self, language: &str) {
        self.language = Some(language.to_owned());
    }

    /// What is left of the limits at each step.
    pub fn left(&mut self, change: impl FnOnce(&mut Allowance)) {
        change(&mut self.left);
    }

    /// From now on the process ends after each commit, and another one takes the turn up.
    pub fn crash_always(&mut self) {
        self.crashes = true;
    }

    /// The session ends, and the next one of the conversation begins.
    pub fn next_session(&mut self) {
        self.carried = self.carry.take();
        (self.state, self.entries, self.history_from) = (Vec::new(), Vec::new(), 0);
        transcript::clear();
    }

    /// Says something to the agent; its reply, empty where it stays silent.
    pub fn say(&mut self, text: &str) -> String {
        self.turn = Turn::default();
        let history = self.history();
        let entry = self.keep(Role::User, text, Vec::new(), None);
        let older = u32::try_from(self.history_from).expect("few entries");
        let message = Message {
            entry,
            text: text.to_owned(),
            attachments: Vec::new(),
            means: self.means(),
            history,
            older,
        };
        self.step(vec![Event::Message(message)]);
        for _ in 0..1000 {
            if let Some(reply) = self.turn.reply.take() {
                return self.replied(reply);
            }
            if self.crashes && !self.turn.open.is_empty() {
                let tokens = self.turn.open.iter().map(|(token, _)| *token).collect();
                let means = self.means();
                self.step(vec![Event::Resumed((tokens, means))]);
                if self.turn.reply.is_some() {
                    continue;
                }
            }
            assert!(!self.turn.open.is_empty(), "nothing is under way, and the turn has not ended");
            let (token, command) = self.turn.open.remove(0);
            let event = self.perform(token, command);
            self.step(vec![event]);
        }
        panic!("the turn does not end");
    }

    /// Stops a turn that has just been begun with this text, as a person would: after its first step.
    pub fn say_and_stop(&mut self, text: &str, by: StoppedBy) -> String {
        self.turn = Turn::default();
        let history = self.history();
        let entry = self.keep(Role::User, text, Vec::new(), None);
        let means = self.means();
        let message = Message { entry, text: text.into(), attachments: Vec::new(), means, history, older: 0 };
        self.step(vec![Event::Message(message)]);
        self.turn.open.clear();
        self.step(vec![Event::Stopped(Stopped { by, partial: None })]);
        let reply = self.turn.reply.take().unwrap_or(Reply::Last);
        self.replied(reply)
    }

    /// What models were asked in the last turn.
    pub fn requests(&self) -> &[Request] {
        &self.turn.requests
    }

    /// What was said before the end of the last turn.
    pub fn said(&self) -> &[String] {
        &self.turn.said
    }

    /// The lines that the last turn has logged.
    pub fn logs(&self) -> &[String] {
        &self.turn.logs
    }

    /// Whether the last turn has ended the session.
    pub fn has_ended(&self) -> bool {
        self.turn.ended_session
    }

    /// How many entries are part of the history.
    pub fn history_len(&self) -> usize {
        self.entries.len() - self.history_from
    }

    /// The state, as it is kept.
    pub fn state(&self) -> String {
        String::from_utf8_lossy(&self.state).into_owned()
    }

    fn replied(&mut self, reply: Reply) -> String {
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

    fn history(&self) -> Vec<Entry> {
        self.entries[self.history_from..].iter().map(|kept| kept.entry.clone()).collect()
    }

    fn means(&self) -> Means {
        Means {
            models: self.models.iter().map(|scripted| scripted.model.clone()).collect(),
            tools: self.tools.values().map(|scripted| scripted.summary.clone()).collect(),
            skills: self.skills.iter().map(|(summary, _)| summary.clone()).collect(),
        }
    }

    fn step(&mut self, events: Vec<Event>) {
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

    fn perform(&mut self, token: Token, command: Command) -> Event {
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
            Command::ReadSkillFile(_) => Event::SkillFile((token, None)),
            Command::AskPerson(_) => Event::Chosen((token, None)),
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
        let named: Vec<&String> = ask.messages.iter().filter_map(id_of).collect();
        let (mut messages, mut unanswered) = (Vec::new(), Vec::new());
        for part in &ask.messages {
            let Some(id) = id_of(part) else {
                let Part::Text((role, text)) = part else { continue };
                messages.push((*role, text.clone()));
                continue;
            };
            let kept = self.kept(id);
            if let Some(call) = &kept.entry.answers {
                let at = unanswered.iter().position(|open: &String| open == call);
                unanswered.remove(at.unwrap_or_else(|| panic!("a result without its call: {call}")));
            }
            let text = match part {
                Part::Shortened((_, length)) => cut(&kept.text, 0, *length as usize),
                _ => kept.text.clone(),
            };
            messages.push((kept.entry.role, text));
            for call in &kept.entry.calls {
                let result = self.entries.iter().find(|other| other.entry.answers.as_ref() == Some(call));
                match result.unwrap_or_else(|| panic!("nobody has answered {call}")) {
                    result if named.contains(&&result.entry.id) => unanswered.push(call.clone()),
                    result => messages.push((Role::Tool, result.text.clone())),
                }
            }
        }
        assert!(unanswered.is_empty(), "calls without their results: {unanswered:?}");
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

    fn kept(&self, id: &str) -> &Kept {
        let kept = self.entries.iter().find(|kept| kept.entry.id == id);
        kept.unwrap_or_else(|| panic!("there is no entry {id}"))
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

    fn keep(&mut self, role: Role, text: &str, calls: Vec<ToolCall>, answers: Option<String>) -> Entry {
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

fn id_of(part: &Part) -> Option<&String> {
    match part {
        Part::Entry(id) | Part::Shortened((id, _)) => Some(id),
        Part::Text(_) => None,
    }
}

/// A part of a text, at whole characters.
pub(super) fn cut(text: &str, offset: usize, length: usize) -> String {
    let from = text.ceil_char_boundary(offset.min(text.len()));
    let to = text.floor_char_boundary(offset.saturating_add(length).min(text.len()));
    text.get(from..to).unwrap_or_default().to_owned()
}
