//! What the agent remembers of each person it talks to. Nobody's memories are found for anyone else.
//!
//! Found by words: BM25 over an index that the store keeps, so that recalling reads only what the words are in.

use prx_base::error::{Error, Result};
use prx_store::{MemoryEntry, MemoryLimits, NewMemory, Owner, Store};

mod rank;
mod words;

/// The longest text, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;
/// Most tags of one memory, and bytes of one tag.
const MAX_TAGS: usize = 16;
const MAX_TAG_BYTES: usize = 64;
/// Most memories of one user, and of all.
const LIMITS: MemoryLimits = MemoryLimits { each: 1000, total: 100_000 };
/// Most words of a query that are looked for.
const MAX_QUERY_WORDS: usize = 64;

/// A cheap-clone handle to everybody's memories.
#[derive(Clone)]
pub struct Memory(Store);

impl Memory {
    /// Memories in this store.
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Up to `limit` memories of a user that have words in common with `query`, the most fitting first.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub fn recall(&self, owner: &Owner, query: &str, limit: usize) -> Result<Vec<MemoryEntry>> {
        let words: Vec<String> = words::of(query).into_keys().take(MAX_QUERY_WORDS).collect();
        let hits = self.0.word_hits(owner, &words)?;
        let mut recalled = Vec::new();
        for id in rank::best(hits, limit) {
            // It may have been forgotten since.
            recalled.extend(self.0.memory(owner, &id)?);
        }
        Ok(recalled)
    }

    /// Remembers something of a user; what is remembered in the same words already is not remembered twice.
    ///
    /// # Errors
    /// `bad_request` when the text is empty or too long, or tags are too many or too long; `conflict` when there are as
    /// many memories as there may be.
    pub async fn remember(
        &self,
        owner: &Owner,
        text: &str,
        tags: Vec<String>,
        session: Option<String>,
    ) -> Result<MemoryEntry> {
        let text = text.trim();
        check(text, &tags)?;
        let known = self.recall(owner, text, 1)?;
        if let Some(known) = known.into_iter().find(|known| known.text == text) {
            return Ok(known);
        }
        let words = words::of(&format!("{text}\n{}", tags.join("\n")));
        let new = NewMemory { owner: owner.clone(), text: text.to_owned(), tags, session, words };
        self.0.add_memory(new, LIMITS).await
    }

    /// Forgets a memory of a user; false when it was none of that user's.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub async fn forget(&self, owner: &Owner, id: &str) -> Result<bool> {
        self.0.delete_memory(owner, id).await
    }
}

fn check(text: &str, tags: &[String]) -> Result<()> {
    if text.is_empty() || text.len() > MAX_TEXT_BYTES {
        let found = text.len();
        let message = format!("text: takes 1 to {MAX_TEXT_BYTES} bytes, not {found}; say it shorter");
        return Err(Error::bad_request(message));
    }
    if tags.len() > MAX_TAGS || tags.iter().any(|tag| tag.is_empty() || tag.len() > MAX_TAG_BYTES) {
        let message = format!("tags: takes up to {MAX_TAGS} texts of 1 to {MAX_TAG_BYTES} bytes each");
        return Err(Error::bad_request(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
