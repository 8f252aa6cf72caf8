//! The `agent` capability: what a turn does, from the message to the reply.
//!
//! An agent is a pure function. What happens in a turn comes in as events, what is to be done goes out as commands; the
//! gateway asks the models, runs the tools, streams, keeps the transcript and holds every limit:
//!
//! ```
//! use prx_sdk::agent::{Agent, AskModel, Commands, Context, Event, Reply};
//! use prx_sdk::testing::Conversation;
//! use prx_sdk::types::Fault;
//! use serde_json::json;
//!
//! /// Shows a model the whole conversation and gives its answer.
//! pub struct Plain;
//!
//! impl Agent for Plain {
//!     type Config = serde_json::Value;
//!     type State = ();
//!
//!     fn handle(cx: &Context<Self::Config>, _: &mut (), event: Event, out: &mut Commands) -> Result<(), Fault> {
//!         match event {
//!             Event::Message(message) => {
//!                 let whole = message.conversation().map(|entry| entry.id.clone());
//!                 out.ask_model(AskModel::new(1).entries(whole));
//!             }
//!             Event::Answered(_) => out.finish(Reply::Last),
//!             Event::Failed(failed) => out.finish(Reply::Text(failed.message)),
//!             _ => {}
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut talk = Conversation::<Plain>::new(json!({}));
//! talk.model("main/small", |request| format!("{} messages", request.messages.len()).into());
//! assert_eq!(talk.say("Good morning"), "1 messages");
//! assert_eq!(talk.say("And now?"), "3 messages");
//! ```

pub use crate::types::{Attachment, Fault, UnixMs};
pub use crate::wire::agent::{
    Activation, Allowance, Answered, AskModel, Choice, Command, Entry, Event, Failed, FailureKind, Finish,
    LogLevel, Means, Message, Model, OwnResult, Part, Reply, Role, Session, SkillSummary, Step, StopReason,
    Stopped, StoppedBy, Token, ToolCall, ToolDone, ToolOutcome, ToolPolicy, ToolSpec, ToolSummary,
};
pub use crate::wire::imports::common::Instructions;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::random::Random;
use crate::stored;
use crate::wire::agent as wire;

/// An agent, as the operator's `[agents.*]` tables name it. A conversation has one at a time.
pub trait Agent {
    /// The table of the agent's settings, as the manifest's `[config.*]` tables describe it.
    type Config: DeserializeOwned;

    /// What outlives a step: kept as JSON for each session, committed with every step.
    ///
    /// Serialize deterministically: no `HashMap`, which writes its keys in another order each time.
    type State: Serialize + DeserializeOwned + Default;

    /// The version of `State`'s format; the manifest's `[agent] state_version` says the same.
    const STATE_VERSION: u32 = 1;

    /// Handles one event: changes the state, and says in `out` what is to happen.
    ///
    /// The kernel may call again with the same arguments after a crash, and what the step asks for must be equivalent.
    ///
    /// # Errors
    /// A fault rejects the whole step; the turn ends with its message.
    fn handle(
        cx: &Context<Self::Config>,
        state: &mut Self::State,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault>;

    /// Reads state that version `from` of this agent wrote. Called before the first event after an upgrade.
    ///
    /// # Errors
    /// A fault refuses the upgrade: the old code and its state stay. So does this default for every version.
    fn migrate(from: u32, state: &[u8]) -> Result<Self::State, Fault> {
        let _ = state;
        Err(Fault::bad_input(format!("reads state version {}, not {from}", Self::STATE_VERSION)))
    }
}

/// The configuration of an agent that takes none.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub struct NoConfig {}

/// What comes in with each call.
#[derive(Debug)]
pub struct Context<C> {
    /// The agent's name in the operator's configuration.
    pub agent: String,
    /// The time of this call. There is no other clock.
    pub now: UnixMs,
    /// The agent's configuration.
    pub config: C,
    /// The conversation.
    pub session: Session,
    /// What is left of the turn's and the session's limits.
    pub left: Allowance,
    random: Random,
}

impl<C> Context<C> {
    /// The next random number of this call; a repeated call gives the same.
    pub fn random(&self) -> u64 {
        self.random.next()
    }
}

/// What an agent wants to happen, in order.
#[derive(Debug, Default)]
pub struct Commands {
    commands: Vec<Command>,
    carry: Option<Vec<u8>>,
}

impl Commands {
    /// Asks a model.
    pub fn ask_model(&mut self, ask: AskModel) {
        self.push(Command::AskModel(ask));
    }

    /// Calls a tool that a model has asked for.
    pub fn call_tool(&mut self, token: Token, call: ToolCall) {
        self.push(Command::CallTool((token, call)));
    }

    /// Answers a model's call without a tool.
    pub fn tool_result(&mut self, call: impl Into<String>, text: impl Into<String>, is_error: bool) {
        self.push(Command::ToolResult(OwnResult { call: call.into(), text: text.into(), is_error }));
    }

    /// Asks a skill what to make of a text.
    pub fn activate_skill(&mut self, token: Token, skill: impl Into<String>, text: impl Into<String>) {
        self.push(Command::ActivateSkill((token, (skill.into(), text.into()))));
    }

    /// Looks for up to `limit` memories of the person that fit a text.
    pub fn recall(&mut self, token: Token, text: impl Into<String>, limit: u32) {
        self.push(Command::Recall((token, (text.into(), limit))));
    }

    /// Says something before the end.
    pub fn say(&mut self, text: impl Into<String>) {
        self.push(Command::Say(text.into()));
    }

    /// Ends the turn.
    pub fn finish(&mut self, reply: Reply) {
        self.push(Command::Finish(Finish { reply, end_session: false }));
    }

    /// Ends the turn and the session.
    pub fn end_session(&mut self, reply: Reply) {
        self.push(Command::Finish(Finish { reply, end_session: true }));
    }

    /// Leaves the entries before this one out of the history from now on.
    pub fn forget_before(&mut self, entry: impl Into<String>) {
        self.push(Command::ForgetBefore(entry.into()));
    }

    /// Leaves something for the next session of this conversation.
    pub fn carry(&mut self, bytes: impl Into<Vec<u8>>) {
        self.carry = Some(bytes.into());
    }

    /// Writes a line to the log.
    pub fn log(&mut self, level: LogLevel, line: impl Into<String>) {
        self.push(Command::Log((level, line.into())));
    }

    /// Anything else.
    pub fn push(&mut self, command: Command) {
        self.commands.push(command);
    }
}

impl Message {
    /// The whole conversation, oldest first: the history, this message, and what was said since.
    pub fn conversation(&self) -> impl Iterator<Item = &Entry> {
        self.history.iter().chain([&self.entry]).chain(&self.since)
    }
}

impl AskModel {
    /// A question under this token: nothing said yet, the operator's choice of a model, shown and kept.
    pub fn new(token: Token) -> Self {
        Self {
            token,
            model: None,
            system: String::new(),
            messages: Vec::new(),
            tools: Vec::new(),
            own_tools: Vec::new(),
            options: "{}".into(),
            shown: true,
            kept: true,
        }
    }

    /// With these entries, whole, after what is there.
    #[must_use]
    pub fn entries(mut self, ids: impl IntoIterator<Item = String>) -> Self {
        self.messages.extend(ids.into_iter().map(Part::Entry));
        self
    }

    /// With all entries from the first to the last of these, whole, after what is there.
    #[must_use]
    pub fn between(mut self, first: impl Into<String>, last: impl Into<String>) -> Self {
        self.messages.push(Part::Entries((first.into(), last.into())));
        self
    }

    /// For the agent's own use: neither shown nor kept.
    #[must_use]
    pub fn aside(mut self) -> Self {
        (self.shown, self.kept) = (false, false);
        self
    }
}

impl<T: Agent> wire::Guest for T {
    fn handle(context: wire::Context, state: Vec<u8>, events: Vec<Event>) -> Result<Step, Fault> {
        step::<T>(context, &state, events)
    }

    fn migrate(from_version: u32, state: Vec<u8>) -> Result<Vec<u8>, Fault> {
        stored::write(&T::migrate(from_version, &state)?)
    }
}

fn step<T: Agent>(context: wire::Context, before: &[u8], events: Vec<Event>) -> Result<Step, Fault> {
    let config = serde_json::from_str(&context.config).map_err(|e| Fault::bad_config(e.to_string()))?;
    let wire::Context { agent, now, seed, session, left, .. } = context;
    let cx = Context { agent, now, config, session, left, random: Random::new(seed) };
    let mut state: T::State = stored::read(before)?;
    let mut out = Commands::default();
    for event in events {
        T::handle(&cx, &mut state, event, &mut out)?;
        if out.commands.iter().any(|command| matches!(command, Command::Finish(_))) {
            // The turn is over: what else has happened in it changes nothing.
            break;
        }
    }
    let after = stored::write(&state)?;
    Ok(Step { commands: out.commands, state: (after != before).then_some(after), carry: out.carry })
}
