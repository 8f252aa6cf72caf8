//! What is said in a conversation and not to the agent: kept for a day, a little of it, as what was said before the next
//! message that is.

use redb::ReadableTable;

use super::handle::Store;
use super::kept::Kept;
use super::memory::Owner;
use super::message::Overheard;
use super::model::Conversation;
use super::rows::{Failure, Result, Rows, decode};
use super::tx::Tx;

/// By channel, conversation, thread and a number that grows.
const OVERHEARD: Rows<(&str, &str, &str, u64), Overheard> = Rows::new("overheard");

/// Most messages of a conversation that are kept, the newest ones.
const MAX_KEPT: usize = 30;
/// Most bytes of them.
const MAX_BYTES: usize = 16 << 10;
/// How long they are kept, in seconds: a day.
const KEPT_SECS: i64 = 24 * 60 * 60;
/// Most rows that one commit of a sweep removes.
const BATCH: usize = 256;

pub(super) const TABLES: &[&dyn Kept] = &[&OVERHEARD];

/// Keeps something that was said, and forgets the oldest there is no room for.
pub(super) fn keep(tx: &Tx<'_>, conversation: &Conversation, said: Overheard) -> Result<(), Failure> {
    let (channel, place, thread) = conversation.key();
    let kept = kept(tx, conversation)?;
    let number = kept.last().map_or(0, |(number, _)| number + 1);
    tx.put(&OVERHEARD, (channel, place, thread, number), &said)?;
    let mut bytes = said.text.len();
    for (count, (number, earlier)) in kept.iter().rev().enumerate() {
        bytes += earlier.text.len();
        if count + 1 >= MAX_KEPT || bytes > MAX_BYTES {
            tx.remove(&OVERHEARD, (channel, place, thread, *number))?;
        }
    }
    Ok(())
}

/// Takes what was kept of a conversation, as far as it is not too old.
pub(super) fn take(tx: &Tx<'_>, conversation: &Conversation) -> Result<Vec<Overheard>, Failure> {
    let (channel, place, thread) = conversation.key();
    let kept = kept(tx, conversation)?;
    for (number, _) in &kept {
        tx.remove(&OVERHEARD, (channel, place, thread, *number))?;
    }
    let oldest = tx.now().as_second() - KEPT_SECS;
    Ok(kept.into_iter().map(|(_, said)| said).filter(|said| said.at.as_second() >= oldest).collect())
}

fn kept(tx: &Tx<'_>, conversation: &Conversation) -> Result<Vec<(u64, Overheard)>, Failure> {
    let (channel, place, thread) = conversation.key();
    let table = tx.open(OVERHEARD.table())?;
    let mut found = Vec::new();
    for entry in table.range((channel, place, thread, 0)..=(channel, place, thread, u64::MAX))? {
        let (key, row) = entry?;
        found.push((key.value().3, decode(row.value())?));
    }
    Ok(found)
}

impl Store {
    /// Forgets what was overheard more than a day ago, in commits of a bounded size.
    pub async fn forget_overheard(&self) -> Result<()> {
        let oldest = self.shared.clock.now().as_second() - KEPT_SECS;
        self.remove_overheard(|_, said| said.at.as_second() < oldest).await.map(drop)
    }

    /// Forgets what was overheard of a person, in commits of a bounded size. Returns how many messages that were.
    pub(super) async fn erase_overheard(&self, owner: &Owner) -> Result<u64> {
        self.remove_overheard(|channel, said| channel == owner.channel && said.sender.id == owner.user_id)
            .await
    }

    async fn remove_overheard(&self, is_meant: impl Fn(&str, &Overheard) -> bool) -> Result<u64> {
        let mut removed = 0;
        loop {
            let meant = self.read(|snapshot| {
                let mut meant = Vec::new();
                for entry in snapshot.open(OVERHEARD.table())?.iter()? {
                    let (key, row) = entry?;
                    let (channel, place, thread, number) = key.value();
                    if is_meant(channel, &decode(row.value())?) {
                        meant.push((channel.to_owned(), place.to_owned(), thread.to_owned(), number));
                    }
                    if meant.len() == BATCH {
                        break;
                    }
                }
                Ok(meant)
            })?;
            let count = meant.len();
            if count == 0 {
                return Ok(removed);
            }
            removed += count as u64;
            self.write(move |tx| {
                for (channel, place, thread, number) in &meant {
                    tx.remove(&OVERHEARD, (channel.as_str(), place.as_str(), thread.as_str(), *number))?;
                }
                Ok(())
            })
            .await?;
        }
    }
}
