//! Sessions: one conversation each, from its first message to its termination.

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::events;
use super::handle::Store;
use super::ids;
use super::index::{Change, IndexEntry, SESSION_INDEX, status_code};
use super::kept::Kept;
use super::model::{Conversation, NewSession, Session, SessionFilter, SessionStatus, Usage};
use super::rows::{Failure, MAX_PAGE, Page, Result, Rows, Snapshot};
use super::tx::{Effect, Tx};
use prx_base::error::Error;
use prx_base::events::Kind;

pub(super) const SESSIONS: Rows<&str, SessionRow> = Rows::new("sessions");
/// The newest session of each conversation: by channel, conversation and thread.
pub(super) const CONVERSATIONS: TableDefinition<'static, (&str, &str, &str), &str> =
    TableDefinition::new("conversations");

pub(super) const TABLES: &[&dyn Kept] = &[&SESSIONS, &SESSION_INDEX, &CONVERSATIONS];

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
    /// The session that goes on where this one has ended, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    /// The key that a program knows it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// What the index knows of it.
    #[serde(skip)]
    indexed: Option<IndexEntry>,
}

impl Store {
    /// Opens a session.
    pub async fn create_session(&self, new: NewSession) -> Result<Session> {
        self.write(move |tx| {
            let mut row = SessionRow::open(tx, new)?;
            row.save(tx)?;
            row.announce(tx)?;
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
    pub fn sessions(&self, filter: &SessionFilter, limit: usize, offset: usize) -> Result<Page<Session>> {
        let (ulids, total) = self.shared.index.with(|index| index.page(filter, limit.min(MAX_PAGE), offset));
        self.read(|snapshot| {
            let mut items = Vec::with_capacity(ulids.len());
            for ulid in ulids {
                let session = SessionRow::see(snapshot, &ids::with_prefix("sess", ulid))?.session;
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
        self.shared.index.with(|index| index.count(SessionStatus::Active, channel))
    }
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
            model: new.model,
            agent: new.agent,
            language: new.language,
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
            next: None,
            key: None,
            indexed: None,
        })
    }

    pub(super) fn announce(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        let Session { id, channel, user_id, .. } = &self.session;
        let data = json!({ "session_id": id, "channel": channel, "user_id": user_id });
        events::announce(tx, Kind::SessionCreated, data)
    }

    pub(super) fn load(tx: &Tx<'_>, id: &str) -> Result<Self, Failure> {
        let mut row = tx.get(&SESSIONS, id)?.ok_or_else(|| Error::not_found("Session", id))?;
        row.indexed = Some(IndexEntry::of(&row.session));
        Ok(row)
    }

    pub(super) fn see(snapshot: &Snapshot, id: &str) -> Result<Self, Failure> {
        Ok(snapshot.get(&SESSIONS, id)?.ok_or_else(|| Error::not_found("Session", id))?)
    }

    pub(super) fn save(&mut self, tx: &Tx<'_>) -> Result<(), Failure> {
        tx.put(&SESSIONS, self.session.id.as_str(), self)?;
        let after = IndexEntry::of(&self.session);
        let before = self.indexed.replace(after.clone());
        if before.as_ref().is_none_or(|before| before.status != after.status) {
            let about = (status_code(after.status), after.channel.as_str());
            tx.change(SESSION_INDEX)?.insert(after.ulid.0, about)?;
        }
        tx.after_commit(Effect::Session(Change { before, after: Some(after) }));
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
                tx.after_commit(Effect::Turn(id));
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
}
