//! Sessions: one conversation each, from its first message to its termination.

use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::index::Seat;
use super::rows::{Effect, Failure, MAX_PAGE, Rows, Snapshot, Tx};
use super::{Page, Store, turns};
use prx_base::error::{Error, Result};

pub(super) const SESSIONS: Rows<&str, SessionRow> = Rows::new("sessions");
/// The newest session of each conversation: by channel, conversation and thread.
pub(super) const CONVERSATIONS: TableDefinition<'static, (&str, &str, &str), &str> =
    TableDefinition::new("conversations");

/// The user of a session whose maker names none.
pub const ANONYMOUS: &str = "anonymous";

/// Sessions that one commit of a sweep looks at.
const SWEEP_BATCH: usize = 256;

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
    fn key(&self) -> (&str, &str, &str) {
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
}

/// Which sessions to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Those of this status.
    pub status: SessionStatus,
    /// Of these, those of this channel; none for all.
    pub channel: Option<String>,
}

/// A session as it is stored, with what only the store counts.
#[derive(Serialize, Deserialize)]
pub(super) struct SessionRow {
    pub(super) session: Session,
    /// Messages in it.
    pub(super) messages: u64,
    /// Turns waiting or being worked on.
    pub(super) waiting: u64,
    /// The number of its newest turn.
    pub(super) newest_turn: u64,
    /// The session of the same conversation whose turns come before this one's, while there may be some.
    pub(super) predecessor: Option<String>,
    /// The session of the same conversation whose turns wait for this one's.
    pub(super) successor: Option<String>,
    /// What the index knows of it.
    #[serde(skip)]
    seat: Option<Seat>,
}

impl Store {
    /// Opens a session.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub async fn create_session(&self, new: NewSession) -> Result<Session> {
        self.write(move |tx| {
            let mut row = SessionRow::open(tx, new)?;
            row.save(tx)?;
            Ok(row.session)
        })
        .await
    }

    /// One session.
    ///
    /// # Errors
    /// `not_found`.
    pub fn session(&self, id: &str) -> Result<Session> {
        self.read(|snapshot| Ok(SessionRow::see(snapshot, id)?.session))
    }

    /// Up to `limit` sessions from `offset` on, in the order in which they were created. The cost does not depend on
    /// `offset` or on how many there are.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub fn sessions(&self, filter: &SessionFilter, limit: usize, offset: usize) -> Result<Page<Session>> {
        let (ids, total) = {
            let index = self.shared.index.read().unwrap_or_else(PoisonError::into_inner);
            index.page(filter, limit.min(MAX_PAGE), offset)
        };
        self.read(|snapshot| {
            let mut items = Vec::with_capacity(ids.len());
            for id in &ids {
                let session = SessionRow::see(snapshot, id)?.session;
                // It may have changed since the index was asked.
                if session.status == filter.status {
                    items.push(session);
                }
            }
            Ok(Page { items, total })
        })
    }

    /// How many sessions are active, on one channel or on all.
    pub fn active_sessions(&self, channel: Option<&str>) -> usize {
        let index = self.shared.index.read().unwrap_or_else(PoisonError::into_inner);
        index.count(SessionStatus::Active, channel)
    }

    /// Ends a session. Its waiting turns are parked, a turn being worked on with them. Returns the ids of the messages
    /// that get no answer.
    ///
    /// # Errors
    /// `not_found`; `conflict` when it is terminated already.
    pub async fn terminate_session(&self, id: &str) -> Result<Vec<String>> {
        let id = id.to_owned();
        self.write(move |tx| {
            let mut row = SessionRow::load(tx, &id)?;
            row.check_open()?;
            let unanswered = row.end(tx, "the session was terminated")?;
            row.save(tx)?;
            Ok(unanswered)
        })
        .await
    }

    /// Makes sessions idle in which nothing was said for `idle_after`, and terminates those that have then been
    /// idle for `end_after`. One with turns waiting stays as it is.
    ///
    /// Returns those whose status changed.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub async fn sweep_sessions(&self, idle_after: Duration, end_after: Duration) -> Result<Vec<Session>> {
        let now = self.shared.clock.now();
        let quiet = now.checked_sub(idle_after).unwrap_or(Timestamp::MIN);
        let over = quiet.checked_sub(end_after).unwrap_or(Timestamp::MIN);
        let due = {
            let index = self.shared.index.read().unwrap_or_else(PoisonError::into_inner);
            let mut due = index.quiet_since(SessionStatus::Active, quiet);
            due.extend(index.quiet_since(SessionStatus::Idle, over));
            due
        };
        let mut changed = Vec::new();
        for batch in due.chunks(SWEEP_BATCH) {
            let batch = batch.to_vec();
            let swept = self.write(move |tx| {
                let swept = batch.iter().map(|id| sweep(tx, id, quiet, over));
                swept.filter_map(Result::transpose).collect::<Result<Vec<_>, Failure>>()
            });
            changed.extend(swept.await?);
        }
        Ok(changed)
    }
}

fn sweep(tx: &Tx<'_>, id: &str, quiet: Timestamp, over: Timestamp) -> Result<Option<Session>, Failure> {
    let mut row = SessionRow::load(tx, id)?;
    let last = row.session.last_activity;
    match row.session.status {
        SessionStatus::Active | SessionStatus::Idle if row.waiting == 0 && last <= over => {
            row.end(tx, "the session timed out")?;
        }
        SessionStatus::Active if row.waiting == 0 && last <= quiet => {
            row.session.status = SessionStatus::Idle
        }
        _ => return Ok(None),
    }
    row.save(tx)?;
    Ok(Some(row.session))
}

/// The newest session of a conversation, which may be over.
pub(super) fn of_conversation(
    tx: &Tx<'_>,
    conversation: &Conversation,
) -> Result<Option<SessionRow>, Failure> {
    let id = tx.open(CONVERSATIONS)?.get(conversation.key())?.map(|id| id.value().to_owned());
    id.map(|id| SessionRow::load(tx, &id)).transpose()
}

impl SessionRow {
    /// A session that nothing was said in yet; saved by `save`.
    pub(super) fn open(tx: &Tx<'_>, new: NewSession) -> Result<Self, Failure> {
        let now = tx.now();
        let session = Session {
            id: tx.id("sess"),
            channel: new.channel,
            user_id: new.user_id,
            status: SessionStatus::Active,
            created_at: now,
            last_activity: now,
            turn_count: 0,
            token_usage: Usage::default(),
            metadata: new.metadata,
            conversation: new.conversation,
        };
        if let Some(conversation) = &session.conversation {
            tx.change(CONVERSATIONS)?.insert(conversation.key(), session.id.as_str())?;
        }
        Ok(Self {
            session,
            messages: 0,
            waiting: 0,
            newest_turn: 0,
            predecessor: None,
            successor: None,
            seat: None,
        })
    }

    pub(super) fn load(tx: &Tx<'_>, id: &str) -> Result<Self, Failure> {
        let mut row = tx.get(&SESSIONS, id)?.ok_or_else(|| Error::not_found("Session", id))?;
        row.seat = Some(Seat::of(&row.session));
        Ok(row)
    }

    pub(super) fn see(snapshot: &Snapshot, id: &str) -> Result<Self, Failure> {
        Ok(snapshot.get(&SESSIONS, id)?.ok_or_else(|| Error::not_found("Session", id))?)
    }

    pub(super) fn save(&mut self, tx: &Tx<'_>) -> Result<(), Failure> {
        tx.put(&SESSIONS, self.session.id.as_str(), self)?;
        let after = Seat::of(&self.session);
        tx.announce(Effect::Session { before: self.seat.replace(after.clone()), after });
        Ok(())
    }

    /// The nearest session, this one or an earlier one of the conversation, whose turns come before those of a later
    /// one.
    pub(super) fn busy(self, tx: &Tx<'_>) -> Result<Option<Self>, Failure> {
        let mut row = self;
        while row.waiting == 0 {
            let Some(predecessor) = &row.predecessor else { return Ok(None) };
            row = Self::load(tx, predecessor)?;
        }
        Ok(Some(row))
    }

    /// The session, this one or an earlier one of the conversation, whose turn is at work or next.
    pub(super) fn at_work(&self, tx: &Tx<'_>) -> Result<Option<String>, Failure> {
        let mut found = (self.waiting > 0).then(|| self.session.id.clone());
        let mut next = self.predecessor.clone();
        while let Some(id) = next {
            let row = Self::load(tx, &id)?;
            found = if row.waiting > 0 { Some(id) } else { found };
            next = row.predecessor;
        }
        Ok(found)
    }

    /// With its last turn gone, those of the next session of the conversation may begin.
    pub(super) fn release(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        let mut next = self.successor.clone();
        while let Some(id) = next {
            let row = Self::load(tx, &id)?;
            if row.waiting > 0 {
                tx.announce(Effect::Turn(id));
                break;
            }
            next = row.successor;
        }
        Ok(())
    }

    pub(super) fn is_open(&self) -> bool {
        self.session.status != SessionStatus::Terminated
    }

    /// Refuses when the session is over.
    pub(super) fn check_open(&self) -> Result<(), Failure> {
        match self.is_open() {
            true => Ok(()),
            false => Err(Error::conflict(format!("Session {} is terminated", self.session.id)).into()),
        }
    }

    /// Something was said.
    pub(super) fn touch(&mut self, now: Timestamp) {
        self.session.status = SessionStatus::Active;
        self.session.last_activity = now;
    }

    /// Ends it; its waiting turns are parked with the reason. Tells the ids of the messages that began them.
    pub(super) fn end(&mut self, tx: &Tx<'_>, reason: &str) -> Result<Vec<String>, Failure> {
        let unanswered = turns::park_all(tx, self, reason)?;
        self.session.status = SessionStatus::Terminated;
        Ok(unanswered)
    }
}
