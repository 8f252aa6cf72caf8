//! The outbox: what is to be done on a platform, in order, until the platform has answered.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::handle::Store;
use super::kept::Kept;
use super::model::{Conversation, NewOutbound, TurnId};
use super::operation::Operation;
use super::rows::{Failure, LAST_ID, MAX_PAGE, Result, Rows, decode};
use super::tx::{Effect, Tx};
use super::{blobs, events, streams};
use prx_base::error::Error;
use prx_base::events::Kind;
use prx_base::traces::TraceContext;

/// By channel and id; ids rise, so a channel's rows stand in the order in which they were added.
const OUTBOX: Rows<(&str, &str), OutboxEntry> = Rows::new("outbox");
const DEAD_LETTERS: Rows<(&str, &str), DeadLetter> = Rows::new("dead_letters");

type Key<'k> = (&'k str, &'k str);

/// Why an entry is given up whose outcome was never learned.
const UNKNOWN: &str = "unknown outcome";

pub(super) const TABLES: &[&dyn Kept] = &[&OUTBOX, &DEAD_LETTERS];

/// Something to be done on a platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// `out_<ulid>`; the same over every attempt.
    pub id: String,
    /// The channel that does it.
    pub channel: String,
    /// Where.
    pub conversation: Conversation,
    /// Where exactly, as the connector put it.
    pub target: Value,
    /// What.
    pub operation: Operation,
    /// How far it has come.
    pub state: OutboxState,
    /// Attempts begun.
    pub attempt: u32,
    /// An earlier attempt may have reached the platform.
    pub maybe_duplicate: bool,
    /// Not to be tried again before.
    pub not_before: Option<Timestamp>,
    /// Since when it is being tried in vain.
    #[serde(default)]
    pub vain_since: Option<Timestamp>,
    /// The turn that it is the reply of.
    #[serde(default)]
    pub turn: Option<TurnId>,
    /// What it is part of in a trace; it is so over restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// How far an entry of the outbox has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutboxState {
    /// Waits for its next attempt.
    Pending,
    /// On its way: it may or may not have reached the platform.
    Sending,
}

/// What is done with an entry of which nobody knows whether it has reached the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// It becomes a dead letter.
    Drop,
    /// It is sent once more; if that is not known either, it becomes a dead letter.
    ResendOnce,
    /// It is sent until it is known: its platform takes it only once.
    Resend,
}

impl OnUnknown {
    /// Whether an entry, of which this is unknown now, is given up.
    pub fn gives_up(self, entry: &OutboxEntry) -> bool {
        match self {
            Self::Drop => true,
            Self::ResendOnce => entry.maybe_duplicate,
            Self::Resend => false,
        }
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum OutboxOutcome {
    /// Done; the entry leaves the outbox.
    Sent {
        /// The platform's id of it, for the log.
        platform_id: Option<String>,
    },
    /// To be tried again.
    Retry {
        /// Not before this has passed.
        after: Duration,
        /// The attempt may have reached the platform.
        maybe_duplicate: bool,
    },
    /// The platform can't do it this way. To be done in another, at once; nothing of it is shown any more.
    Instead {
        /// What is to be done.
        operation: Operation,
    },
    /// Given up; the entry becomes a dead letter.
    Failed {
        /// Why.
        reason: String,
    },
}

/// An entry that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// As it last was.
    pub entry: OutboxEntry,
    /// Why.
    pub reason: String,
    /// Since when.
    pub failed_at: Timestamp,
}

impl Store {
    /// Up to `limit` entries of a channel's outbox in order, from its beginning or after a given one. Those that
    /// wait for a later moment or are on their way are among them.
    pub fn outbox(&self, channel: &str, limit: usize, after: Option<&str>) -> Result<Vec<OutboxEntry>> {
        self.read(|snapshot| snapshot.page(&OUTBOX, behind(channel, after.unwrap_or_default()), limit))
    }

    /// How many entries a channel's outbox has, and how many of its dead letters are kept; no more than so many of each are
    /// counted.
    pub fn outbox_depth(&self, channel: &str, most: usize) -> Result<(usize, usize)> {
        self.read(|snapshot| {
            let waiting = snapshot.open(OUTBOX.table())?.range(behind(channel, ""))?.take(most).count();
            let dead = snapshot.open(DEAD_LETTERS.table())?.range((channel, "")..(channel, LAST_ID))?;
            Ok((waiting, dead.take(most).count()))
        })
    }

    /// Takes up the entries of a channel that a crash has left on their way; for the start of the channel.
    ///
    /// Whether they have reached the platform is unknown: they are put back with `maybe_duplicate`, or become dead
    /// letters.
    ///
    /// Returns those that were put back.
    pub async fn recover_outbox(&self, channel: &str, on_unknown: OnUnknown) -> Result<Vec<OutboxEntry>> {
        let mut recovered = Vec::new();
        let mut after = String::new();
        loop {
            let (channel, from) = (channel.to_owned(), after);
            let (more, last) = self.write(move |tx| recover(tx, &channel, &from, on_unknown)).await?;
            recovered.extend(more);
            match last {
                Some(last) => after = last,
                None => return Ok(recovered),
            }
        }
    }

    /// Woken when something was added to a channel's outbox since the store was opened. A wake-up that nobody waited
    /// for is remembered.
    pub fn outbox_ready(&self, channel: &str) -> Arc<Notify> {
        self.shared.outbox(channel)
    }

    /// Up to `limit` of what a channel has given up, the newest or those before an id, newest last.
    pub fn dead_letters(&self, channel: &str, limit: usize, before: Option<&str>) -> Result<Vec<DeadLetter>> {
        let range = (channel, "")..(channel, before.unwrap_or(LAST_ID));
        self.read(|snapshot| snapshot.last_page(&DEAD_LETTERS, range, limit))
    }

    /// Puts what was given up at the end of its channel's outbox, under a new id and with all attempts before it.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn replay_dead_letter(&self, channel: &str, id: &str) -> Result<OutboxEntry> {
        let key = (channel.to_owned(), id.to_owned());
        self.write(move |tx| {
            let letter = take_letter(tx, (&key.0, &key.1))?;
            let entry = OutboxEntry {
                id: tx.id("out"),
                state: OutboxState::Pending,
                attempt: 0,
                not_before: None,
                vain_since: None,
                ..letter.entry
            };
            put(tx, &entry)?;
            tx.after_commit(Effect::Outbox(entry.channel.clone()));
            Ok(entry)
        })
        .await
    }

    /// Forgets what was given up.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn remove_dead_letter(&self, channel: &str, id: &str) -> Result<()> {
        let key = (channel.to_owned(), id.to_owned());
        self.write(move |tx| take_letter(tx, (&key.0, &key.1)).map(drop)).await
    }
}

/// What makes an entry one of a person who is erased.
pub(super) struct OfPerson {
    /// The ids of the person's sessions.
    pub(super) sessions: HashSet<String>,
    /// Where these take place.
    pub(super) conversations: Vec<Conversation>,
    /// The turns that the person's messages began in others' sessions.
    pub(super) turns: HashSet<TurnId>,
}

impl OfPerson {
    /// A reply belongs to whoever is replied to, and anything else to the conversation.
    fn has(&self, entry: &OutboxEntry) -> bool {
        match &entry.turn {
            Some(turn) => self.sessions.contains(&turn.session) || self.turns.contains(turn),
            None => self.conversations.contains(&entry.conversation),
        }
    }
}

impl Store {
    /// The ids of a person's entries of a channel's outbox, and of its dead letters.
    pub(super) fn outbox_of(&self, channel: &str, person: &OfPerson) -> Result<(Vec<String>, Vec<String>)> {
        let (mut waiting, mut letters) = (Vec::new(), Vec::new());
        let mut after = String::new();
        loop {
            let page = self.outbox(channel, MAX_PAGE, Some(&after))?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            waiting.extend(page.into_iter().filter(|entry| person.has(entry)).map(|entry| entry.id));
        }
        after.clear();
        loop {
            let range = behind(channel, &after);
            let page = self.read(|snapshot| snapshot.page(&DEAD_LETTERS, range, MAX_PAGE))?;
            let Some(last) = page.last() else { return Ok((waiting, letters)) };
            let last = last.entry.id.clone();
            let of_person = page.into_iter().filter(|letter| person.has(&letter.entry));
            letters.extend(of_person.map(|letter| letter.entry.id));
            after = last;
        }
    }
}

/// Forgets up to `limit` of what was given up before a moment, on any channel. Tells how much that was, and the files that
/// are to be deleted.
pub(super) fn bury_older(
    tx: &Tx<'_>,
    moment: Timestamp,
    limit: usize,
) -> Result<(usize, Vec<String>), Failure> {
    let mut found = Vec::new();
    for entry in tx.open(DEAD_LETTERS.table())?.iter()? {
        let letter: DeadLetter = decode(entry?.1.value())?;
        if letter.failed_at < moment {
            found.push((letter.entry.channel, letter.entry.id));
        }
        if found.len() == limit {
            break;
        }
    }
    let mut files = Vec::new();
    for (channel, id) in &found {
        files.extend(erase(tx, channel, true, std::slice::from_ref(id))?.1);
    }
    Ok((found.len(), files))
}

/// Removes entries of a channel's outbox, or of its dead letters. Tells how many there were, and the files that are to be
/// deleted.
pub(super) fn erase(
    tx: &Tx<'_>,
    channel: &str,
    dead: bool,
    ids: &[String],
) -> Result<(usize, Vec<String>), Failure> {
    let (mut count, mut files, mut entries) = (0, Vec::new(), Vec::new());
    for id in ids {
        let key = (channel, id.as_str());
        let found = match dead {
            true => tx.get(&DEAD_LETTERS, key)?.map(|letter| letter.entry),
            false => tx.get(&OUTBOX, key)?,
        };
        let Some(entry) = found else { continue };
        entries.push((key, entry));
        match dead {
            true => tx.blank(&DEAD_LETTERS, key)?,
            false => tx.blank(&OUTBOX, key)?,
        }
    }
    for (key, entry) in entries {
        if let Operation::Send(said)
        | Operation::Edit(_, said)
        | Operation::Draft(_, said)
        | Operation::Ask(said, _) = entry.operation
        {
            files.extend(said.attachments.into_iter().map(|file| file.blob));
        }
        match dead {
            true => tx.remove(&DEAD_LETTERS, key)?,
            false => tx.remove(&OUTBOX, key)?,
        }
        count += 1;
    }
    Ok((count, blobs::remove(tx, &files)?))
}

/// The rows of a channel behind an id.
fn behind<'k>(channel: &'k str, id: &'k str) -> (Bound<Key<'k>>, Bound<Key<'k>>) {
    (Bound::Excluded((channel, id)), Bound::Excluded((channel, LAST_ID)))
}

pub(super) fn add(tx: &Tx<'_>, new: NewOutbound) -> Result<(), Failure> {
    let entry = OutboxEntry {
        id: tx.id("out"),
        channel: new.conversation.channel.clone(),
        conversation: new.conversation,
        target: new.target,
        operation: new.operation,
        state: OutboxState::Pending,
        attempt: 0,
        maybe_duplicate: false,
        not_before: None,
        vain_since: None,
        turn: new.turn,
        trace: new.trace,
    };
    put(tx, &entry)?;
    tx.after_commit(Effect::Outbox(entry.channel));
    Ok(())
}

/// Marks an entry as being on its way, and returns it. One that is gone stays gone.
pub(super) fn dispatch(tx: &Tx<'_>, channel: &str, id: &str) -> Result<Option<OutboxEntry>, Failure> {
    let Some(mut entry) = tx.get(&OUTBOX, (channel, id))? else { return Ok(None) };
    entry.state = OutboxState::Sending;
    entry.attempt += 1;
    entry.not_before = None;
    put(tx, &entry)?;
    Ok(Some(entry))
}

/// Takes in what became of an entry, and returns it unless it leaves the outbox. One that is gone stays gone.
pub(super) fn settle(
    tx: &Tx<'_>,
    channel: &str,
    id: &str,
    outcome: OutboxOutcome,
) -> Result<Option<OutboxEntry>, Failure> {
    let Some(mut entry) = tx.get(&OUTBOX, (channel, id))? else { return Ok(None) };
    if let (Some(turn), false) = (&entry.turn, matches!(outcome, OutboxOutcome::Retry { .. })) {
        streams::set(tx, channel, turn, None)?;
    }
    match outcome {
        OutboxOutcome::Sent { platform_id } => {
            tracing::debug!(channel, id, platform_id, "sent");
            tx.remove(&OUTBOX, (channel, id))?;
            return Ok(None);
        }
        OutboxOutcome::Failed { reason } => {
            bury(tx, entry, &reason)?;
            let data = json!({ "channel": channel, "operation": id, "reason": reason });
            events::announce(tx, Kind::ErrorOccurred, data)?;
            return Ok(None);
        }
        OutboxOutcome::Retry { after, maybe_duplicate } => {
            entry.maybe_duplicate |= maybe_duplicate;
            entry.vain_since.get_or_insert(tx.now());
            entry.not_before = Some(tx.now().checked_add(after).unwrap_or(Timestamp::MAX));
        }
        OutboxOutcome::Instead { operation } => {
            entry.operation = operation;
            entry.not_before = None;
        }
    }
    entry.state = OutboxState::Pending;
    put(tx, &entry)?;
    Ok(Some(entry))
}

/// Recovers the entries of one page; the second value is where the next one begins.
fn recover(
    tx: &Tx<'_>,
    channel: &str,
    after: &str,
    on_unknown: OnUnknown,
) -> Result<(Vec<OutboxEntry>, Option<String>), Failure> {
    let page = tx.page(&OUTBOX, behind(channel, after), MAX_PAGE)?;
    let last = page.last().map(|entry| entry.id.clone());
    let mut recovered = Vec::new();
    for mut entry in page.into_iter().filter(|entry| entry.state == OutboxState::Sending) {
        let edits = match &entry.turn {
            Some(turn) => streams::is_shown(tx, channel, turn)?,
            None => false,
        };
        if !edits && on_unknown.gives_up(&entry) {
            bury(tx, entry, UNKNOWN)?;
        } else {
            entry.state = OutboxState::Pending;
            // What takes the place of a message that is there can do so twice.
            entry.maybe_duplicate |= !edits;
            put(tx, &entry)?;
            recovered.push(entry);
        }
    }
    Ok((recovered, last))
}

fn take_letter(tx: &Tx<'_>, key: Key<'_>) -> Result<DeadLetter, Failure> {
    let letter = tx.get(&DEAD_LETTERS, key)?;
    let letter = letter.ok_or_else(|| Error::not_found("Dead letter", key.1))?;
    tx.remove(&DEAD_LETTERS, key)?;
    Ok(letter)
}

fn bury(tx: &Tx<'_>, entry: OutboxEntry, reason: &str) -> Result<(), Failure> {
    tx.remove(&OUTBOX, (&entry.channel, &entry.id))?;
    let letter = DeadLetter { entry, reason: reason.to_owned(), failed_at: tx.now() };
    tx.put(&DEAD_LETTERS, (&letter.entry.channel, &letter.entry.id), &letter)
}

fn put(tx: &Tx<'_>, entry: &OutboxEntry) -> Result<(), Failure> {
    tx.put(&OUTBOX, (&entry.channel, &entry.id), entry)
}
