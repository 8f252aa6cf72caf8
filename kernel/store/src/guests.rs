//! Who has said something in a session that belongs to someone else: in a group it belongs to whoever spoke first. It is kept
//! so that what a person has said there can be found when they are erased.

use std::ops::Bound;

use redb::{ReadableTable, TableDefinition};

use super::handle::Store;
use super::kept::Kept;
use super::memory::Owner;
use super::message::{Message, Overheard};
use super::messages::MESSAGES;
use super::model::{Session, TurnId};
use super::queue::OPENING;
use super::rows::{Failure, Result, decode};
use super::sessions::SESSIONS;
use super::tx::Tx;

/// By channel, session and user.
const GUESTS: TableDefinition<'static, (&str, &str, &str), ()> = TableDefinition::new("guests");

/// Rows that one read goes over.
const SCANNED: usize = 1_000;
/// Messages that one commit changes.
const BATCH: usize = 256;

pub(super) const TABLES: &[&dyn Kept] = &[&GUESTS];

/// Notes who has said something in a session, where that is not whom it belongs to.
pub(super) fn note(tx: &Tx<'_>, session: &Session, user: &str) -> Result<(), Failure> {
    let key = (session.channel.as_str(), session.id.as_str(), user);
    if session.user_id != user && tx.open(GUESTS)?.get(key)?.is_none() {
        tx.change(GUESTS)?.insert(key, ())?;
    }
    Ok(())
}

/// Forgets that a person has said something in a session.
pub(super) fn forget(tx: &Tx<'_>, session: &str, guest: &Owner) -> Result<(), Failure> {
    tx.change(GUESTS)?.remove((guest.channel.as_str(), session, guest.user_id.as_str()))?;
    Ok(())
}

/// Notes everyone who has said something in a session that is let go as guests of the one after it, to which what its agent
/// has made of their words went on.
pub(super) fn move_on(tx: &Tx<'_>, from: &Session, to: &str) -> Result<(), Failure> {
    let Some(row) = tx.get(&SESSIONS, to)? else { return Ok(()) };
    let ended = format!("{}\0", from.id);
    let range = (from.channel.as_str(), from.id.as_str(), "")..(from.channel.as_str(), ended.as_str(), "");
    let mut people = vec![from.user_id.clone()];
    for entry in tx.open(GUESTS)?.range(range)? {
        people.push(entry?.0.value().2.to_owned());
    }
    people.iter().try_for_each(|user| note(tx, &row.session, user))
}

/// Forgets everyone who has said something in a session that is erased.
pub(super) fn forget_all(tx: &Tx<'_>, channel: &str, session: &str) -> Result<(), Failure> {
    let ended = format!("{session}\0");
    let range = (channel, session, "")..(channel, ended.as_str(), "");
    if tx.open(GUESTS)?.range(range.clone())?.next().is_some() {
        tx.change(GUESTS)?.retain_in(range, |_, ()| false)?;
    }
    Ok(())
}

impl Store {
    /// The sessions of others in which a person has said something. Costs as much as the channel has such sessions, in
    /// bounded reads.
    pub(super) async fn sessions_with(&self, guest: &Owner) -> Result<Vec<String>> {
        let ended = format!("{}\0", guest.channel);
        let (mut found, mut after) = (Vec::new(), (String::new(), String::new()));
        loop {
            let from = (guest.channel.as_str(), after.0.as_str(), after.1.as_str());
            let range = (Bound::Excluded(from), Bound::Excluded((ended.as_str(), "", "")));
            let page: Vec<(String, String)> = self.read(|snapshot| {
                let table = snapshot.open(GUESTS)?;
                let rows = table.range(range)?.take(SCANNED).map(|row| {
                    let (key, _) = row?;
                    let (_, session, user) = key.value();
                    Ok::<_, Failure>((session.to_owned(), user.to_owned()))
                });
                rows.collect()
            })?;
            let Some(last) = page.last() else { return Ok(found) };
            after.clone_from(last);
            let theirs = page.into_iter().filter(|(_, user)| *user == guest.user_id);
            found.extend(theirs.map(|(session, _)| session));
            tokio::task::yield_now().await;
        }
    }

    /// The turns of a session that a person's messages began. Costs as much as the session has messages, in bounded reads.
    pub(super) async fn turns_of(&self, session: &str, guest: &Owner) -> Result<Vec<TurnId>> {
        let theirs = self.openings(session, |message| message.user_id.as_deref() == Some(&guest.user_id));
        Ok(theirs.await?.into_iter().map(|seq| TurnId { session: session.to_owned(), seq }).collect())
    }

    /// Forgets what a person was overheard to say, of the messages in someone else's session that it came with. Costs as much
    /// as the session has messages, in bounded reads. Returns how many messages that were.
    pub(super) async fn erase_overheard_in(&self, session: &str, guest: &Owner) -> Result<u64> {
        let is_theirs = |said: &Overheard| said.sender.id == guest.user_id;
        let found = self.openings(session, |message| message.context.overheard.iter().any(is_theirs)).await?;
        let mut erased = 0;
        for batch in found.chunks(BATCH) {
            let (session, user, batch) = (session.to_owned(), guest.user_id.clone(), batch.to_vec());
            erased += self.write(move |tx| forget_overheard(tx, &session, &user, &batch)).await?;
        }
        Ok(erased)
    }

    /// The turns of a session whose own message is one of those that are meant.
    async fn openings(&self, session: &str, is_meant: impl Fn(&Message) -> bool) -> Result<Vec<u64>> {
        let (mut found, mut after) = (Vec::new(), (0, 0));
        loop {
            let from = (session, after.0, after.1);
            let range = (Bound::Excluded(from), Bound::Included((session, u64::MAX, u32::MAX)));
            let page: Vec<(u64, u32, bool)> = self.read(|snapshot| {
                let table = snapshot.open(MESSAGES.table())?;
                let rows = table.range(range)?.take(SCANNED).map(|row| {
                    let (key, row) = row?;
                    let (_, seq, place) = key.value();
                    Ok::<_, Failure>((seq, place, place == OPENING && is_meant(&decode(row.value())?)))
                });
                rows.collect()
            })?;
            let Some(last) = page.last() else { return Ok(found) };
            after = (last.0, last.1);
            found.extend(page.iter().filter(|(.., is_meant)| *is_meant).map(|(seq, ..)| seq));
            tokio::task::yield_now().await;
        }
    }
}

fn forget_overheard(tx: &Tx<'_>, session: &str, user: &str, turns: &[u64]) -> Result<u64, Failure> {
    let mut erased = 0;
    for seq in turns {
        let place = (session, *seq, OPENING);
        let Some(mut message) = tx.get(&MESSAGES, place)? else { continue };
        let before = message.context.overheard.len();
        message.context.overheard.retain(|said| said.sender.id != user);
        erased += (before - message.context.overheard.len()) as u64;
        tx.put(&MESSAGES, place, &message)?;
    }
    Ok(erased)
}
