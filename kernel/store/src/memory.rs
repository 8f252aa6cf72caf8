//! What the agent remembers of people between sessions, each person's own, with an index over its words.

use std::collections::BTreeMap;

use jiff::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Deserialize, Serialize};

use super::handle::Store;
use super::kept::Kept;
use super::rows::{Failure, Result, Rows};
use super::tx::Tx;
use prx_base::error::Error;

/// By channel, user and id.
pub(super) const MEMORIES: Rows<(&str, &str, &str), MemoryRow> = Rows::new("memories");
/// The channel and the user of each, by id.
pub(super) const OWNERS: TableDefinition<'static, &str, (&str, &str)> = TableDefinition::new("memory_owners");
/// By channel, user, word and id: how often the word is in it, and how many words there are in it.
const WORDS: TableDefinition<'static, (&str, &str, &str, &str), (u32, u32)> =
    TableDefinition::new("memory_words");
/// By channel and user: how many memories there are, and how many words in them.
const TOTALS: TableDefinition<'static, (&str, &str), (u64, u64)> = TableDefinition::new("memory_totals");

pub(super) const TABLES: &[&dyn Kept] = &[&OWNERS, &WORDS, &TOTALS, &MEMORIES];

/// Whose a memory is: a user of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The channel; `api` for sessions made over HTTP.
    pub channel: String,
    /// The user's id there.
    pub user_id: String,
}

/// One thing remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEntry {
    /// `mem_<ulid>`
    pub id: String,
    /// Whose it is.
    #[serde(flatten)]
    pub owner: Owner,
    /// What.
    pub text: String,
    /// Under which words besides its own it is found.
    pub tags: Vec<String>,
    /// The session it comes from.
    pub session: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}

/// Something to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMemory {
    /// Whose it is.
    pub owner: Owner,
    /// What.
    pub text: String,
    /// Under which words besides its own it is found.
    pub tags: Vec<String>,
    /// The session it comes from.
    pub session: Option<String>,
    /// The words that it is found by, and how often each is in it.
    pub words: BTreeMap<String, u32>,
}

/// How many memories there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Of one user.
    pub each: u64,
    /// Of all.
    pub total: u64,
}

/// Where some words are in a user's memories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WordHits {
    /// How many memories the user has.
    pub memories: u64,
    /// How many words there are in all of them.
    pub words: u64,
    /// For each of the words that was looked for, the memories that it is in.
    pub hits: Vec<Vec<WordHit>>,
}

/// A memory that a word is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordHit {
    /// The memory's id.
    pub id: String,
    /// How often the word is in it.
    pub count: u32,
    /// How many words are in it.
    pub words: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct MemoryRow {
    entry: MemoryEntry,
    /// What it stands under in the index.
    words: Vec<String>,
}

impl Owner {
    fn key(&self) -> (&str, &str) {
        (&self.channel, &self.user_id)
    }
}

impl Store {
    /// How many things are remembered, of all users.
    pub fn memory_entries(&self) -> Result<u64> {
        self.read(|snapshot| snapshot.count(&MEMORIES))
    }

    /// Remembers something.
    ///
    /// # Errors
    /// `conflict` when there are as many as there may be.
    pub async fn add_memory(&self, new: NewMemory, limits: MemoryLimits) -> Result<MemoryEntry> {
        self.write(move |tx| add(tx, new, limits)).await
    }

    /// Something that is remembered of a user; none when it is nothing of that user's.
    pub fn memory(&self, owner: &Owner, id: &str) -> Result<Option<MemoryEntry>> {
        let (channel, user) = owner.key();
        let row = self.read(|snapshot| snapshot.get(&MEMORIES, (channel, user, id)))?;
        Ok(row.map(|row: MemoryRow| row.entry))
    }

    /// Up to `limit` of what is remembered of a user, newest first.
    pub fn memories(&self, owner: &Owner, limit: usize) -> Result<Vec<MemoryEntry>> {
        let (channel, user) = owner.key();
        self.read(|snapshot| {
            // After the last id that there can be: they begin with a letter.
            let all = (channel, user, "")..(channel, user, "~");
            let rows: Vec<MemoryRow> = snapshot.last_page(&MEMORIES, all, limit)?;
            Ok(rows.into_iter().rev().map(|row| row.entry).collect())
        })
    }

    /// Where these words are in what is remembered of a user. Costs as much as there are places.
    pub fn word_hits(&self, owner: &Owner, words: &[String]) -> Result<WordHits> {
        let (channel, user) = owner.key();
        self.read(|snapshot| {
            let totals = snapshot.open(TOTALS)?.get((channel, user))?;
            let (memories, in_all) = totals.map_or((0, 0), |totals| totals.value());
            let table = snapshot.open(WORDS)?;
            let mut hits = Vec::with_capacity(words.len());
            for word in words.iter().map(String::as_str) {
                let mut places = Vec::new();
                for place in table.range((channel, user, word, "")..(channel, user, word, "~"))? {
                    let (key, found) = place?;
                    let (count, words) = found.value();
                    places.push(WordHit { id: key.value().3.to_owned(), count, words });
                }
                hits.push(places);
            }
            Ok(WordHits { memories, words: in_all, hits })
        })
    }

    /// Whose a memory is; none when there is none of that id.
    pub fn memory_owner(&self, id: &str) -> Result<Option<Owner>> {
        self.read(|snapshot| {
            let owner = snapshot.open(OWNERS)?.get(id)?;
            Ok(owner.map(|owner| {
                let (channel, user_id) = owner.value();
                Owner { channel: channel.to_owned(), user_id: user_id.to_owned() }
            }))
        })
    }

    /// Forgets something of a user's; false when it was nothing of that user's.
    pub async fn delete_memory(&self, owner: &Owner, id: &str) -> Result<bool> {
        let (owner, id) = (owner.clone(), id.to_owned());
        self.write(move |tx| remove(tx, &owner, &id)).await
    }
}

fn add(tx: &Tx<'_>, new: NewMemory, limits: MemoryLimits) -> Result<MemoryEntry, Failure> {
    let NewMemory { owner, text, tags, session, words } = new;
    let (channel, user) = owner.key();
    let (memories, in_all) = totals(tx, &owner)?;
    if memories >= limits.each || tx.open(OWNERS)?.len()? >= limits.total {
        let message = "There is no room for another memory; forget some that are of no use any more";
        return Err(Error::conflict(message).into());
    }
    let entry =
        MemoryEntry { id: tx.id("mem"), owner: owner.clone(), text, tags, session, created_at: tx.now() };
    let length: u32 = words.values().sum();
    tx.change(OWNERS)?.insert(entry.id.as_str(), (channel, user))?;
    tx.change(TOTALS)?.insert((channel, user), (memories + 1, in_all + u64::from(length)))?;
    let mut index = tx.change(WORDS)?;
    for (word, count) in &words {
        index.insert((channel, user, word.as_str(), entry.id.as_str()), (*count, length))?;
    }
    drop(index);
    let row = MemoryRow { entry, words: words.into_keys().collect() };
    tx.put(&MEMORIES, (channel, user, row.entry.id.as_str()), &row)?;
    Ok(row.entry)
}

fn remove(tx: &Tx<'_>, owner: &Owner, id: &str) -> Result<bool, Failure> {
    let (channel, user) = owner.key();
    let Some(row) = tx.get(&MEMORIES, (channel, user, id))? else { return Ok(false) };
    let row: MemoryRow = row;
    let (memories, in_all) = totals(tx, owner)?;
    let mut index = tx.change(WORDS)?;
    let mut length = 0;
    for word in &row.words {
        let removed = index.remove((channel, user, word.as_str(), id))?;
        length = removed.map_or(length, |found| found.value().1);
    }
    drop(index);
    tx.change(OWNERS)?.remove(id)?;
    tx.remove(&MEMORIES, (channel, user, id))?;
    let left = (memories.saturating_sub(1), in_all.saturating_sub(u64::from(length)));
    tx.change(TOTALS)?.insert((channel, user), left)?;
    Ok(true)
}

/// Forgets up to `limit` of what is remembered of a user, and tells how many things that were.
pub(super) fn erase(tx: &Tx<'_>, owner: &Owner, limit: usize) -> Result<usize, Failure> {
    let (channel, user) = owner.key();
    let rows: Vec<MemoryRow> = tx.page(&MEMORIES, (channel, user, "")..(channel, user, "~"), limit)?;
    for row in &rows {
        remove(tx, owner, &row.entry.id)?;
    }
    if rows.len() < limit && tx.open(TOTALS)?.get(owner.key())?.is_some() {
        tx.change(TOTALS)?.remove(owner.key())?;
    }
    Ok(rows.len())
}

fn totals(tx: &Tx<'_>, owner: &Owner) -> Result<(u64, u64), Failure> {
    Ok(tx.open(TOTALS)?.get(owner.key())?.map_or((0, 0), |totals| totals.value()))
}
