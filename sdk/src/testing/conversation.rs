//! A gateway around an agent: scripted models and tools, and the kernel's rules.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::imports::transcript;
use crate::agent::{
    Activation, Agent, Allowance, Command, Entry, Event, FailureKind, Message, Model, Reply, Role,
    SkillSummary, Stopped, StoppedBy, Token, ToolCall, ToolPolicy, ToolSummary,
};

mod turn;

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
    /// What the person chooses, one question after the other.
    choices: std::collections::VecDeque<String>,
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

/// What a tool makes of its arguments.
type PlayedTool = Box<dyn FnMut(&Value) -> Result<String, String>>;

struct ScriptedTool {
    summary: ToolSummary,
    call: PlayedTool,
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
            choices: std::collections::VecDeque::new(),
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

    /// What the person answers to the next question that has choices, by the choice's id; nothing, if that is none of them.
    pub fn chooses(&mut self, id: &str) {
        self.choices.push_back(id.to_owned());
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

    /// What the next session would be given, as it is kept; empty: nothing.
    pub fn carry(&self) -> String {
        String::from_utf8_lossy(self.carry.as_deref().unwrap_or_default()).into_owned()
    }

    /// Says something to the agent; its reply, empty where it stays silent.
    pub fn say(&mut self, text: &str) -> String {
        self.begin(text);
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
        self.begin(text);
        self.turn.open.clear();
        self.step(vec![Event::Stopped(Stopped { by, partial: None })]);
        let reply = self.turn.reply.take().unwrap_or(Reply::Last);
        self.replied(reply)
    }

    /// Has the agent begin a turn.
    fn begin(&mut self, text: &str) {
        self.turn = Turn::default();
        let history = self.history();
        let message = Message {
            entry: self.keep(Role::User, text, Vec::new(), None),
            text: text.to_owned(),
            attachments: Vec::new(),
            means: self.means(),
            history,
            older: u32::try_from(self.history_from).expect("few entries"),
            since: Vec::new(),
        };
        self.step(vec![Event::Message(message)]);
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
}

/// A part of a text, at whole characters.
pub(super) fn cut(text: &str, offset: usize, length: usize) -> String {
    let from = text.ceil_char_boundary(offset.min(text.len()));
    let to = text.floor_char_boundary(offset.saturating_add(length).min(text.len()));
    text.get(from..to).unwrap_or_default().to_owned()
}
