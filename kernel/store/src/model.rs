//! What the verbs speak of: sessions, turns, and what comes in and goes out.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::message::{Attachment, Message, NewMessage, Quoted};
use super::operation::Operation;
use super::terms::Terms;
use prx_base::events::NewEvent;
use prx_base::traces::TraceContext;

/// The user of a session whose maker names none.
pub const ANONYMOUS: &str = "anonymous";

/// One conversation with the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// `sess_<ulid>`
    pub id: String,
    /// The channel it came in by; `api` for those made over HTTP.
    pub channel: String,
    /// Who talks to the agent.
    pub user_id: String,
    /// Where it is in its life.
    pub status: SessionStatus,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When something was last said in it.
    pub last_activity: Timestamp,
    /// Turns completed.
    pub turn_count: u64,
    /// What its turns have cost.
    pub token_usage: Usage,
    /// Whatever its maker attached, kept as sent.
    pub metadata: Value,
    /// Where on a platform it takes place; none for those made over HTTP.
    pub conversation: Option<Conversation>,
    /// Which model answers in it, as `provider/model`; none: the one of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Which agent answers in it; none: as the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The language that is spoken in it, as a BCP 47 tag: the one that was heard of last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionStatus {
    /// Something was said lately.
    #[default]
    Active,
    /// Nothing was said for a while; the next message wakes it.
    Idle,
    /// It is over.
    Terminated,
}

/// Tokens that a model has read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TokenUsage")]
pub struct Usage {
    /// Read.
    pub input: u64,
    /// Written.
    pub output: u64,
}

impl Usage {
    /// Both together.
    pub fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// The sum. What a provider claims is no reason to overflow.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        let (input, output) =
            (self.input.saturating_add(more.input), self.output.saturating_add(more.output));
        Self { input, output }
    }
}

/// A place on a platform where people talk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Conversation {
    /// The configured channel.
    pub channel: String,
    /// The platform's id of the chat.
    pub conversation: String,
    /// The platform's id of the thread in it.
    pub thread: Option<String>,
}

impl Conversation {
    pub(super) fn key(&self) -> (&str, &str, &str) {
        (&self.channel, &self.conversation, self.thread.as_deref().unwrap_or_default())
    }
}

/// A session to be opened.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSession {
    /// The channel it comes in by.
    pub channel: String,
    /// Who talks to the agent.
    pub user_id: String,
    /// Kept as it is.
    pub metadata: Value,
    /// Where on a platform it takes place.
    pub conversation: Option<Conversation>,
    /// Which model answers in it, as `provider/model`; none: the one of the configuration.
    pub model: Option<String>,
    /// Which agent answers in it; none: as the configuration says.
    pub agent: Option<String>,
    /// The language that is spoken in it, as a BCP 47 tag.
    pub language: Option<String>,
}

/// Which sessions to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Those of this status.
    pub status: SessionStatus,
    /// Of these, those of this channel; none for all.
    pub channel: Option<String>,
}

/// Names a turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TurnId {
    /// The session it belongs to.
    pub session: String,
    /// Its number there; later turns have larger ones.
    pub seq: u64,
}

/// A message to be answered, and how far that has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The session it belongs to.
    pub session: String,
    /// Its number there.
    pub seq: u64,
    /// How many times it was claimed.
    pub attempts: u32,
    /// When its message came in.
    pub received_at: Timestamp,
    /// What is to be answered.
    pub message: Message,
    /// Where it came from and where the reply goes; none for messages over HTTP.
    pub inbound: Option<InboundInfo>,
    /// What an earlier attempt left for this one.
    pub progress: Option<Value>,
    /// It is to end with what was said so far, and why.
    pub stop: Option<Stop>,
    /// What filters have made of its message; none: none has looked at it, or changed anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<Filtered>,
    /// What is wanted of it, where a program began it for its caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Box<Terms>>,
}

/// What has become of a message that filters have looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filtered {
    /// It is as they want it.
    Passed,
    /// It goes no further, and this is said instead of an answer.
    Stopped(String),
}

/// Why a turn is to end with what was said so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// Someone asked for it.
    Asked,
    /// The person went on to say something else.
    Interrupted,
}

/// What there is to be done about a turn at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnState {
    /// It goes on.
    GoesOn,
    /// It is to end with what was said so far.
    Stopped(Stop),
    /// It is over already: its session was ended.
    Over,
}

impl Turn {
    /// The turn's name.
    pub fn id(&self) -> TurnId {
        TurnId { session: self.session.clone(), seq: self.seq }
    }
}

/// What a channel said about a message, besides its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InboundInfo {
    /// Where it was said.
    pub conversation: Conversation,
    /// Where the reply goes, as the connector put it.
    pub target: Value,
    /// Who said it, by the platform's id.
    pub user_id: String,
    /// Who said it, by name.
    pub user_name: String,
    /// The person's language as a BCP 47 tag, where the platform says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// When, by the platform's clock.
    pub sent_at: Timestamp,
    /// Whatever else the channel keeps with it.
    pub metadata: Value,
    /// The plugin that began the turn; none: a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_by: Option<BegunBy>,
}

/// A plugin that begins a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunBy {
    /// Its name.
    pub plugin: String,
    /// Who is asked about the turn's tools, by the platform's id; none: nobody, and those tools are refused.
    pub approver: Option<String>,
}

/// A turn's outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnDone {
    /// The turn.
    pub id: TurnId,
    /// What was said in it after the person's own message, in order.
    pub messages: Vec<NewMessage>,
    /// What it has cost, as far as that was not recorded before.
    pub usage: Usage,
    /// What is to be sent, in order.
    pub outbound: Vec<NewOutbound>,
    /// Events of it that were not announced before.
    pub events: Vec<NewEvent>,
    /// Ends the session with it; while more turns wait, the session stays open for them.
    pub end_session: bool,
    /// What its agent keeps.
    pub agent: AgentCommit,
}

/// How a turn ends that has no answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parked {
    /// Why.
    pub reason: String,
    /// What was said in it after the person's own message, in order.
    pub said: Vec<NewMessage>,
    /// Nobody takes it as it is: its files are left out of the conversation, lest no later message is taken either.
    pub refused: bool,
    /// What is to be sent about it.
    pub told: Option<NewOutbound>,
}

/// What completing a turn came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Completed {
    /// False: the turn was completed or parked before, by its session's end for one; nothing was changed or sent.
    pub applied: bool,
    /// The messages as they were stored.
    pub messages: Vec<Message>,
    /// The session as it is now.
    pub session: Session,
}

/// A turn that nobody will try again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParkedTurn {
    /// The turn.
    pub turn: Turn,
    /// Why.
    pub reason: String,
    /// Since when.
    pub parked_at: Timestamp,
}

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// This once.
    Allow,
    /// No.
    Deny,
    /// The choice at this place, from 0, of a question that has choices.
    Chosen(u8),
    /// Nothing, until it was too late.
    Expired,
}

/// What a message asks of the gateway itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A fresh session, as whose first message it is stored.
    NewSession,
    /// That the turn at work is stopped.
    StopTurn,
    /// The answer to a request for approval.
    Decide(Decision),
}

/// A message from a platform.
#[derive(Debug, Clone, PartialEq)]
pub struct NewInbound {
    /// Unique per channel and message of the platform; what was seen within seven days is dropped.
    pub dedupe: String,
    /// Where it was said.
    pub conversation: Conversation,
    /// Who said it, by the platform's id.
    pub user_id: String,
    /// Who said it, by name.
    pub user_name: String,
    /// The person's language as a BCP 47 tag, where the platform says so.
    pub language: Option<String>,
    /// What was said.
    pub text: String,
    /// What it asks of the gateway itself, in the words of whoever took it in.
    pub command: Option<Command>,
    /// The files that came with it, those of what it quotes included.
    pub attachments: Vec<Attachment>,
    /// More than one person may speak in its conversation.
    pub group: bool,
    /// The message that it answers.
    pub reply_to: Option<Quoted>,
    /// What it passes on from elsewhere, oldest first.
    pub forwarded: Vec<Quoted>,
    /// The choice's id, where this answers a question with choices.
    pub choice: Option<String>,
    /// Where the reply goes, as the connector put it.
    pub target: Value,
    /// When, by the platform's clock.
    pub sent_at: Timestamp,
    /// Kept with the turn; becomes the metadata of a session that this message opens.
    pub metadata: Value,
    /// The plugin that begins the turn; none: a person does.
    pub begun_by: Option<BegunBy>,
}

impl NewInbound {
    pub(super) fn begins_anew(&self) -> bool {
        self.command == Some(Command::NewSession)
    }
}

/// Something to be added to the outbox of its conversation's channel.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOutbound {
    /// Where.
    pub conversation: Conversation,
    /// Where exactly, as the connector put it.
    pub target: Value,
    /// What.
    pub operation: Operation,
    /// The turn that it is the reply of.
    pub turn: Option<TurnId>,
    /// What it is part of in a trace.
    pub trace: Option<TraceContext>,
}

/// Somewhere events are delivered to. Its secret is not part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// `hook_<ulid>`
    pub id: String,
    /// Where to.
    pub url: String,
    /// Names of the events it takes; `*` is all of them.
    pub events: Vec<String>,
    /// False once the receiver has said that it is gone, or the operator has turned it off: nothing is queued or sent.
    pub active: bool,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl Hook {
    /// Whether it takes events of this name.
    pub fn takes(&self, event: &str) -> bool {
        self.active && self.events.iter().any(|taken| taken == "*" || taken == event)
    }
}

/// What a compaction came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// The file before, in bytes.
    pub before: u64,
    /// The file after, in bytes.
    pub after: u64,
}

/// What an agent remembers of a session between two steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentState {
    /// The version of its shape, from the plugin's manifest.
    pub version: u32,
    /// Only the agent can read it.
    pub bytes: Vec<u8>,
}

/// What an agent has at the beginning of a turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentRecord {
    /// Its state; none: it has none in this session.
    pub state: Option<AgentState>,
    /// The first message that is part of the history; none: all are.
    pub history_from: Option<String>,
    /// The state before the last change of its version, and where the history began then.
    pub earlier: Option<(AgentState, String)>,
    /// What the session before has left.
    pub carried: Option<Vec<u8>>,
    /// How often all of that was forgotten.
    pub forgotten: u64,
}

/// What a step of an agent changes for good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentCommit {
    /// Its plugin.
    pub plugin: String,
    /// Its state, where the step has changed it.
    pub state: Option<AgentState>,
    /// What the next session of the conversation is given, where the step has changed it.
    pub left: Option<Vec<u8>>,
    /// The first message that is part of the history from now on; empty: all are.
    pub history_from: Option<String>,
    /// [`AgentRecord::forgotten`] of the record that it comes of: nothing is kept of it once more was forgotten.
    pub forgotten: u64,
}

impl AgentCommit {
    /// What this and then a later one change.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            plugin: if later.plugin.is_empty() { self.plugin } else { later.plugin },
            state: later.state.or(self.state),
            left: later.left.or(self.left),
            history_from: later.history_from.or(self.history_from),
            forgotten: self.forgotten.max(later.forgotten),
        }
    }
}
