//! The durable state of the gateway: sessions, messages and their files, turns, channel state, hooks, tokens, plugin records,
//! key-value data and memories, in one file. Verbs, not get and put: each one is atomic, and durable when it returns.
//!
//! Nothing above this crate knows the database. Reads are synchronous, short and bounded; changes go through one writer
//! that commits many of them at once.
//!
//! - **Events** are announced by the verbs. An event is queued for every hook that takes it in the commit of the verb
//!   that it tells of, and published on the bus ([`Store::events`]) when that is durable. What is no verb's is recorded with
//!   [`Store::record_event`].
//! - **Outbox**: what is to be done on a platform ([`OutboxEntry`]), in order, from the commit of a turn until the platform has
//!   answered. A crash puts back what was on its way. What is given up becomes a **dead letter** ([`DeadLetter`]), which can
//!   be replayed.
//! - **Deliveries** ([`Delivery`]): events on their way to a hook, each with the moment of its next attempt. The **retry
//!   schedule** is that of whoever makes them; the store keeps their order and their record. What is wrong with a hook is a
//!   [`HookProblem`].
//! - **Pending turns** are queued by session; [`Ready`] hands out the sessions that have some.

pub use self::actions::{Action, PluginTurn};
pub use self::approvals::{Approval, Elicitation, NewApproval, Question};
pub use self::audit::{Actor, AuditEntry, AuditFilter, AuditPage, Deed, RefusedCallers};
pub use self::blobs::{Blob, BlobLimits, FILES_OF_A_CALL, NewBlob};
pub use self::channels::{ChannelState, StepCommit, StepReceipt};
pub use self::check::Checked;
pub use self::compaction::SpaceUse;
pub use self::copy::StoreCopy;
pub use self::deliveries::{Attempt, Delivery, DeliveryStatus, Notice, Outcome, Round, Settled, TEST_EVENT};
pub use self::erasure::Erased;
pub use self::event_log::{EventPage, LoggedEvent};
pub use self::exchanges::NewExchange;
pub use self::file::{FILE, OpenError, SERVED};
pub use self::handle::Store;
pub use self::hook_problem::HookProblem;
pub use self::hooks::{HookChange, HookRecord, HookState, NewHook};
pub use self::idempotency::KeptAnswer;
pub use self::jobs::{JobEnd, JobRecord, JobRun};
pub use self::kv::{MAX_KEY_BYTES, QuotaExceeded};
pub use self::mcp_logins::{McpLogin, McpTokens, OauthClient, PendingLogin};
pub use self::memory::{MemoryEntry, MemoryLimits, NewMemory, Owner, WordHit, WordHits};
pub use self::message::{
    Attachment, AttachmentKind, Message, MessageContext, NewMessage, Overheard, ProviderData, Quoted, Role,
    Sender, ToolCall,
};
pub use self::model::{
    ANONYMOUS, AgentCommit, AgentRecord, AgentState, BegunBy, Command, Compacted, Completed, Conversation,
    Decision, Filtered, Hook, InboundInfo, NewInbound, NewOutbound, NewSession, Parked, ParkedTurn, Session,
    SessionFilter, SessionStatus, Stop, Turn, TurnDone, TurnId, TurnState, Usage,
};
pub use self::observers::ObserverRecord;
pub use self::open::Held;
pub use self::operation::{Choice, Content, Operation};
pub use self::outbox::{DeadLetter, OnUnknown, OutboxEntry, OutboxOutcome, OutboxState};
pub use self::plugins::PluginRecord;
pub use self::ready::Ready;
pub use self::rows::{MAX_PAGE, Page, Result};
pub use self::stats::StatsPoint;
pub use self::steps::TurnStep;
pub use self::streams::Streamed;
pub use self::terms::{CallerTool, Terms};
pub use self::tokens::TokenRecord;
pub use self::turns::MAX_ATTEMPTS;

mod actions;
mod agents;
mod approvals;
mod audit;
mod blobs;
mod channels;
mod check;
mod compaction;
mod copy;
mod deliveries;
mod erasure;
mod event_log;
mod events;
mod exchanges;
mod file;
mod filtered;
mod guests;
mod handle;
mod hook_problem;
mod hooks;
mod idempotency;
mod ids;
mod index;
mod jobs;
mod kept;
mod kv;
mod load;
mod mcp_logins;
mod memory;
mod message;
mod messages;
mod model;
mod observers;
mod open;
mod operation;
mod outbox;
mod overheard;
mod plugins;
mod queue;
mod ready;
mod reopen;
mod retention;
mod rows;
mod sessions;
mod settlement;
mod spending;
mod stats;
mod steps;
mod streams;
mod subscriptions;
mod succession;
mod tables;
mod terms;
#[cfg(test)]
mod tests;
mod tokens;
mod turns;
mod tx;
mod writer;
