//! Erasing: a session with everything that was said in it, or all that is kept of a person. In commits of a bounded size, each
//! whole by itself: what is cut off by a crash goes on when it is asked for again.
//!
//! What connectors and plugins keep for themselves only they can read, so it is theirs to erase; and whoever was told of
//! something, a platform or a hook's receiver, has it.

use std::collections::{BTreeSet, HashSet};

use redb::{ReadableTable, TableDefinition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blobs;
use super::handle::Store;
use super::ids;
use super::index::{Change, IndexEntry, SESSION_INDEX};
use super::kept::Kept;
use super::memory::{self, Owner};
use super::message::{Attachment, Message};
use super::messages;
use super::model::{Session, SessionFilter, SessionStatus, TurnId};
use super::queue::TURNS;
use super::rows::{Failure, MAX_PAGE, Result};
use super::sessions::{CONVERSATIONS, SESSIONS, SessionRow};
use super::tx::{Effect, Tx};
use super::{agents, approvals, deliveries, exchanges, guests, idempotency, outbox, streams, turns};

/// Rows that one commit removes, of each kind.
const BATCH: usize = 256;
/// Turns that one commit removes with all that was said in them.
const TURN_BATCH: usize = 16;

/// What was erased, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erased {
    /// Sessions.
    pub sessions: u64,
    /// Messages in them.
    pub messages: u64,
    /// Things remembered.
    pub memories: u64,
    /// Images and files.
    pub files: u64,
    /// Turns that nobody would have tried again.
    pub parked_turns: u64,
    /// Questions that waited for an answer.
    pub approvals: u64,
    /// Replies that waited to be sent.
    pub outbox: u64,
    /// Replies that were given up.
    pub dead_letters: u64,
    /// Deliveries to hooks about the sessions, waiting or remembered.
    pub deliveries: u64,
    /// Answers that were kept for their idempotency key.
    pub kept_answers: u64,
    /// Events about the sessions, of which nothing is left but that there were some.
    pub events: u64,
}

impl Erased {
    /// Whether there was anything.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Adds what else was erased.
    pub fn add(&mut self, more: Self) {
        self.sessions += more.sessions;
        self.messages += more.messages;
        self.memories += more.memories;
        self.files += more.files;
        self.parked_turns += more.parked_turns;
        self.approvals += more.approvals;
        self.outbox += more.outbox;
        self.dead_letters += more.dead_letters;
        self.deliveries += more.deliveries;
        self.kept_answers += more.kept_answers;
        self.events += more.events;
    }
}

/// What one commit has removed of a session.
struct Part {
    erased: Erased,
    files: Vec<String>,
    /// There is nothing left of it.
    whole: bool,
}

/// The sessions of a person that are being erased, so that a crash in between loses track of none: by channel, user and
/// session.
const ERASING: TableDefinition<'static, (&str, &str, &str), ()> = TableDefinition::new("erasing");

pub(super) const TABLES: &[&dyn Kept] = &[&ERASING];

impl Store {
    /// The sessions of a person, whatever their status. Costs as much as the channel has sessions, in bounded reads.
    pub async fn sessions_of(&self, owner: &Owner) -> Result<Vec<Session>> {
        let mut found = Vec::new();
        for status in [SessionStatus::Active, SessionStatus::Idle, SessionStatus::Terminated] {
            let filter = SessionFilter { status, channel: Some(owner.channel.clone()) };
            let mut offset = 0;
            loop {
                let page = self.sessions(&filter, BATCH, offset)?;
                found.extend(page.items.into_iter().filter(|session| session.user_id == owner.user_id));
                offset += BATCH;
                if offset >= page.total {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // One may have changed its status, and with it its page, meanwhile.
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        Ok(found)
    }

    /// Erases all that is kept of a person: sessions with what was said in them, what they said in others' sessions with the
    /// answers to it, files, memories, what waits to be sent or was given up, and what is kept of these elsewhere. The
    /// sessions are to be ended before. Doing so again erases what has come since.
    pub async fn erase_user(&self, owner: &Owner) -> Result<Erased> {
        let mut sessions: Vec<String> =
            self.sessions_of(owner).await?.into_iter().map(|session| session.id).collect();
        let person = owner.clone();
        let listed = sessions.clone();
        // Those of an erasure that was cut off come again: their rows may be gone, and what mentions them not.
        sessions = self.write(move |tx| note_sessions(tx, &person, &listed)).await?;
        let mut erased = Erased::default();
        let mut conversations = Vec::new();
        for id in &sessions {
            if let Ok(Session { conversation: Some(conversation), .. }) = self.session(id) {
                conversations.push(conversation);
            }
        }
        let visited = self.sessions_with(owner).await?;
        // What agents have made of the person's words, there and in the sessions that went on from there.
        self.forget_kept(&sessions).await?;
        self.forget_kept(&visited).await?;
        let mut said = Vec::new();
        for session in &visited {
            said.extend(self.turns_of(session, owner).await?);
        }
        let of_person = outbox::OfPerson {
            sessions: sessions.iter().cloned().collect(),
            conversations,
            turns: said.iter().cloned().collect(),
        };
        erased.add(self.erase_mentions(&owner.channel, &of_person).await?);
        for turns in said.chunk_by(|a, b| a.session == b.session) {
            erased.add(self.erase_turns(turns).await?);
        }
        for session in visited {
            erased.messages += self.erase_overheard_in(&session, owner).await?;
            erased.add(self.erase_visit(session, owner).await?);
        }
        for id in &sessions {
            erased.add(self.erase_session(id).await?);
        }
        loop {
            let person = owner.clone();
            let gone = self.write(move |tx| memory::erase(tx, &person, BATCH)).await?;
            erased.memories += gone as u64;
            if gone < BATCH {
                break;
            }
        }
        erased.messages += self.erase_overheard(owner).await?;
        let person = owner.clone();
        self.write(move |tx| forget_sessions(tx, &person, &sessions)).await?;
        Ok(erased)
    }

    /// Erases a session with everything that was said in it.
    pub(super) async fn erase_session(&self, id: &str) -> Result<Erased> {
        let mut erased = Erased::default();
        loop {
            let session = id.to_owned();
            let part = self.write(move |tx| erase_part(tx, &session)).await?;
            self.delete_files(&part.files).await;
            erased.add(part.erased);
            if part.whole {
                return Ok(erased);
            }
        }
    }

    /// Erases turns of one session, with all that was said in them. One that is being worked on ends without an answer.
    async fn erase_turns(&self, turns: &[TurnId]) -> Result<Erased> {
        let mut erased = Erased::default();
        for batch in turns.chunks(TURN_BATCH) {
            let batch = batch.to_vec();
            let part = self.write(move |tx| erase_turns(tx, &batch)).await?;
            self.delete_files(&part.files).await;
            erased.add(part.erased);
        }
        Ok(erased)
    }

    /// Erases what is left of a person in someone else's session once the messages are gone.
    async fn erase_visit(&self, session: String, guest: &Owner) -> Result<Erased> {
        let guest = guest.clone();
        let visit = move |tx: &Tx<'_>| {
            let (parked, files) = turns::erase_parked_of(tx, &session, &guest.user_id)?;
            guests::forget(tx, &session, &guest)?;
            agents::forget(tx, &session)?;
            Ok((parked, files))
        };
        let (parked, files) = self.write(visit).await?;
        self.delete_files(&files).await;
        Ok(Erased { parked_turns: parked as u64, files: files.len() as u64, ..Erased::default() })
    }

    /// Erases what is kept of sessions, and of turns, elsewhere than with them.
    async fn erase_mentions(&self, channel: &str, of_person: &outbox::OfPerson) -> Result<Erased> {
        let mut erased = Erased::default();
        if of_person.sessions.is_empty() && of_person.turns.is_empty() {
            return Ok(erased);
        }
        let (waiting, letters) = self.outbox_of(channel, of_person)?;
        for (dead, ids) in [(false, waiting), (true, letters)] {
            for batch in ids.chunks(BATCH) {
                let (channel, batch) = (channel.to_owned(), batch.to_vec());
                let part = self.write(move |tx| outbox::erase(tx, &channel, dead, &batch)).await?;
                self.delete_files(&part.1).await;
                let count = part.0 as u64;
                erased.files += part.1.len() as u64;
                *(if dead { &mut erased.dead_letters } else { &mut erased.outbox }) += count;
            }
        }
        let mentions = |text: &str| mentions(text, &of_person.sessions);
        for hook in self.hooks()? {
            let found = self.deliveries_where(&hook.id, mentions).await?;
            for batch in found.chunks(BATCH) {
                let (hook, batch) = (hook.id.clone(), batch.to_vec());
                erased.deliveries += self.write(move |tx| deliveries::erase(tx, &hook, &batch)).await? as u64;
            }
        }
        erased.events = self.erase_events(mentions).await?;
        let found = self.kept_answers_where(mentions).await?;
        for batch in found.chunks(BATCH) {
            let batch = batch.to_vec();
            erased.kept_answers += self.write(move |tx| idempotency::erase(tx, &batch)).await? as u64;
        }
        Ok(erased)
    }
}

/// Whether a text has the id of one of these sessions in it.
fn mentions(text: &str, sessions: &HashSet<String>) -> bool {
    const PREFIX: &str = "sess_";
    const LENGTH: usize = PREFIX.len() + ulid::ULID_LEN;
    let mut ids = text.match_indices(PREFIX).filter_map(|(at, _)| text.get(at..at + LENGTH));
    ids.any(|id| sessions.contains(id))
}

/// Notes sessions that are to be erased, and tells these and those that were noted before.
pub(super) fn note_sessions(tx: &Tx<'_>, owner: &Owner, sessions: &[String]) -> Result<Vec<String>, Failure> {
    let (channel, user) = (owner.channel.as_str(), owner.user_id.as_str());
    let mut noted: BTreeSet<String> = sessions.iter().cloned().collect();
    for entry in tx.open(ERASING)?.range((channel, user, "")..(channel, user, "~"))? {
        noted.insert(entry?.0.value().2.to_owned());
    }
    let mut erasing = tx.change(ERASING)?;
    for id in sessions {
        erasing.insert((channel, user, id.as_str()), ())?;
    }
    Ok(noted.into_iter().collect())
}

fn forget_sessions(tx: &Tx<'_>, owner: &Owner, sessions: &[String]) -> Result<(), Failure> {
    let mut erasing = tx.change(ERASING)?;
    for id in sessions {
        erasing.remove((owner.channel.as_str(), owner.user_id.as_str(), id.as_str()))?;
    }
    Ok(())
}

/// Removes some messages of a session, or, with the last of them, all that is left of it.
fn erase_part(tx: &Tx<'_>, id: &str) -> Result<Part, Failure> {
    let mut part = Part { erased: Erased::default(), files: Vec::new(), whole: true };
    let Some(mut row) = tx.get(&SESSIONS, id)? else { return Ok(part) };
    let said: Vec<(u64, u32, Message)> = messages::first(tx, id, BATCH)?;
    part.whole = said.len() < BATCH;
    part.erased.messages = said.len() as u64;
    let files = remove_messages(tx, id, &said)?;
    row.messages = row.messages.saturating_sub(said.len() as u64);
    part.files = files;
    if part.whole {
        let (parked, of_parked) = turns::erase_parked(tx, id)?;
        part.files.extend(of_parked);
        part.erased.parked_turns = parked as u64;
        part.erased.approvals = approvals::erase(tx, id)? as u64;
        part.erased.sessions = 1;
        remove_session(tx, id, row)?;
    } else {
        tx.put(&SESSIONS, id, &row)?;
    }
    part.erased.files = part.files.len() as u64;
    Ok(part)
}

/// Removes turns of one session, with all that was said in them.
fn erase_turns(tx: &Tx<'_>, turns: &[TurnId]) -> Result<Part, Failure> {
    let mut part = Part { erased: Erased::default(), files: Vec::new(), whole: false };
    let Some(id) = turns.first().map(|turn| turn.session.as_str()) else { return Ok(part) };
    // Its own person may have been erased meanwhile.
    if tx.get(&SESSIONS, id)?.is_none() {
        return Ok(part);
    }
    let mut row = SessionRow::load(tx, id)?;
    let mut said = Vec::new();
    for turn in turns {
        said.extend(messages::of_turn(tx, id, turn.seq)?);
    }
    part.files = remove_messages(tx, id, &said)?;
    part.erased.messages = said.len() as u64;
    row.messages = row.messages.saturating_sub(said.len() as u64);
    for turn in turns {
        streams::set(tx, &row.session.channel, turn, None)?;
        turns::withdraw(tx, &mut row, turn.seq)?;
    }
    row.save(tx)?;
    part.erased.files = part.files.len() as u64;
    Ok(part)
}

/// Removes messages with their files; tells the files that are to be deleted. The caller counts them out of the session's row.
pub(super) fn remove_messages(
    tx: &Tx<'_>,
    session: &str,
    said: &[(u64, u32, Message)],
) -> Result<Vec<String>, Failure> {
    let mut files = Vec::new();
    for (turn, place, _) in said {
        tx.blank(&messages::MESSAGES, (session, *turn, *place))?;
    }
    for (turn, place, message) in said {
        messages::remove(tx, (session, *turn, *place), &message.id)?;
        files.extend(message.attachments.iter().map(|file: &Attachment| file.blob.clone()));
    }
    blobs::remove(tx, &files)
}

/// Removes a session's row and what leads to it.
fn remove_session(tx: &Tx<'_>, id: &str, row: SessionRow) -> Result<(), Failure> {
    let removed = IndexEntry::of(&row.session);
    while let Some(turn) = tx.page(&TURNS, (id, 0)..=(id, u64::MAX), MAX_PAGE)?.first() {
        tx.remove(&TURNS, (id, turn.seq))?;
    }
    streams::erase(tx, &row.session.channel, id)?;
    if let Some(next) = &row.next
        && agents::is_given(tx, next)?
    {
        guests::move_on(tx, &row.session, next)?;
    }
    agents::forget_session(tx, id)?;
    guests::forget_all(tx, &row.session.channel, id)?;
    if let Some(conversation) = &row.session.conversation {
        let newest = tx.open(CONVERSATIONS)?.get(conversation.key())?.map(|newest| newest.value() == id);
        if newest == Some(true) {
            tx.change(CONVERSATIONS)?.remove(conversation.key())?;
        }
    }
    // Its neighbours in the conversation become each other's.
    if let Some(before) = &row.predecessor
        && let Some(mut neighbour) = tx.get(&SESSIONS, before.as_str())?
    {
        neighbour.successor.clone_from(&row.successor);
        tx.put(&SESSIONS, before.as_str(), &neighbour)?;
    }
    if let Some(after) = &row.successor
        && let Some(mut neighbour) = tx.get(&SESSIONS, after.as_str())?
    {
        neighbour.predecessor.clone_from(&row.predecessor);
        tx.put(&SESSIONS, after.as_str(), &neighbour)?;
        tx.after_commit(Effect::Turn(after.clone()));
    }
    exchanges::forget_key(tx, &row)?;
    tx.remove(&SESSIONS, id)?;
    tx.change(SESSION_INDEX)?.remove(ids::ulid(id).0)?;
    tx.after_commit(Effect::Session(Change { before: Some(removed), after: None }));
    Ok(())
}
