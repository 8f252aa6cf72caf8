//! Answers that are given again when the same request comes again.

use std::ops::Bound;

use jiff::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Deserialize, Serialize};

use super::handle::Store;
use super::kept::Kept;
use super::rows::{Failure, MAX_PAGE, Result, Rows, decode};
use super::tx::{META, Tx};

/// By the caller and the key that it gave.
const ANSWERS: Rows<(&str, &str), KeptAnswer> = Rows::new("idempotency");
/// The same by age (Unix milliseconds), to forget them.
const ANSWERED_AT: TableDefinition<'static, (i64, &str, &str), ()> = TableDefinition::new("idempotency_at");

/// Those of them whose body is kept, by age, with its bytes.
const BODIES: TableDefinition<'static, (i64, &str, &str), u64> = TableDefinition::new("idempotency_bodies");
/// What all kept bodies take together, in [`META`].
const BODY_BYTES: &str = "idempotency_body_bytes";

/// What all kept bodies may take together. Of the oldest beyond it, only that they were given is kept.
const MAX_BODY_BYTES: u64 = 8 << 20;
/// The most answers that are kept, with their body or without; the oldest make room.
const MAX_ANSWERS: u64 = 100_000;
/// How long an answer is given again.
const KEPT_FOR_MS: i64 = 24 * 60 * 60 * 1000;
/// Answers that keeping one may forget: bounded work, and yet they never pile up.
const FORGET: usize = 16;

pub(super) const TABLES: &[&dyn Kept] = &[&ANSWERS, &ANSWERED_AT, &BODIES];

/// An answer, and what it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// What identifies the request besides its key.
    pub fingerprint: [u8; 32],
    /// The path that was asked for, so that it can be erased with what it is about.
    #[serde(default)]
    pub target: String,
    /// The HTTP status.
    pub status: u16,
    /// The JSON text; none if there is none yet, or it is not kept.
    pub body: Option<String>,
    /// When it was given.
    pub at: Timestamp,
}

impl KeptAnswer {
    fn is_old(&self, now: Timestamp) -> bool {
        now.as_millisecond() - self.at.as_millisecond() >= KEPT_FOR_MS
    }
}

impl Store {
    /// What a caller's key was answered with in the last 24 hours.
    pub fn kept_answer(&self, caller: &str, key: &str) -> Result<Option<KeptAnswer>> {
        let kept = self.read(|snapshot| snapshot.get(&ANSWERS, (caller, key)))?;
        Ok(kept.filter(|kept| !kept.is_old(self.shared.clock.now())))
    }

    /// Keeps an answer for 24 hours, and forgets older ones. The first one under a key that has a body stays. All bodies
    /// together take 8 MiB at most: of the oldest, only that there was an answer stays known.
    pub async fn keep_answer(&self, caller: &str, key: &str, answer: KeptAnswer) -> Result<()> {
        let (caller, key) = (caller.to_owned(), key.to_owned());
        self.write(move |tx| {
            forget_old(tx)?;
            let place = (caller.as_str(), key.as_str());
            match tx.get(&ANSWERS, place)? {
                Some(kept) if kept.body.is_some() && !kept.is_old(tx.now()) => return Ok(()),
                Some(old) => remove(tx, place, &old)?,
                None => {}
            }
            tx.change(ANSWERED_AT)?.insert((moment(&answer), place.0, place.1), ())?;
            tx.put(&ANSWERS, place, &answer)?;
            if let Some(body) = &answer.body {
                let bytes = body.len() as u64;
                tx.change(BODIES)?.insert((moment(&answer), place.0, place.1), bytes)?;
                count_bodies(tx, bytes, 0)?;
                shed_bodies(tx)?;
            }
            Ok(())
        })
        .await
    }

    /// Forgets what is kept under a key.
    pub async fn forget_answer(&self, caller: &str, key: &str) -> Result<()> {
        let (caller, key) = (caller.to_owned(), key.to_owned());
        self.write(move |tx| {
            let place = (caller.as_str(), key.as_str());
            let Some(kept) = tx.get(&ANSWERS, place)? else { return Ok(()) };
            remove(tx, place, &kept)
        })
        .await
    }

    /// The places of the answers whose path or body is as wanted.
    pub(super) async fn kept_answers_where(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        let mut after: Option<(String, String)> = None;
        loop {
            let page = self.read(|snapshot| {
                let begin = after.as_ref().map_or(Bound::Unbounded, |(caller, key)| {
                    Bound::Excluded((caller.as_str(), key.as_str()))
                });
                let table = snapshot.open(ANSWERS.table())?;
                let mut page = Vec::new();
                for entry in table.range::<(&str, &str)>((begin, Bound::Unbounded))?.take(MAX_PAGE) {
                    let (place, row) = entry?;
                    let (caller, key) = place.value();
                    let kept: KeptAnswer = decode(row.value())?;
                    let fits = wanted(&kept.target) || kept.body.as_deref().is_some_and(&wanted);
                    page.push(((caller.to_owned(), key.to_owned()), fits));
                }
                Ok(page)
            })?;
            let Some((last, _)) = page.last() else { return Ok(found) };
            after = Some(last.clone());
            found.extend(page.into_iter().filter(|(_, fits)| *fits).map(|(place, _)| place));
            tokio::task::yield_now().await;
        }
    }
}

/// Forgets what is kept at these places, and tells how many answers that were.
pub(super) fn erase(tx: &Tx<'_>, places: &[(String, String)]) -> Result<usize, Failure> {
    let mut count = 0;
    for (caller, key) in places {
        let place = (caller.as_str(), key.as_str());
        if let Some(kept) = tx.get(&ANSWERS, place)? {
            remove(tx, place, &kept)?;
            count += 1;
        }
    }
    Ok(count)
}

fn moment(answer: &KeptAnswer) -> i64 {
    answer.at.as_millisecond()
}

/// Removes an answer and what leads to it.
fn remove(tx: &Tx<'_>, place: (&str, &str), kept: &KeptAnswer) -> Result<(), Failure> {
    let aged = (moment(kept), place.0, place.1);
    tx.change(ANSWERED_AT)?.remove(aged)?;
    let bytes = tx.change(BODIES)?.remove(aged)?.map(|bytes| bytes.value());
    count_bodies(tx, 0, bytes.unwrap_or_default())?;
    tx.remove(&ANSWERS, place)
}

fn body_bytes(tx: &Tx<'_>) -> Result<u64, Failure> {
    Ok(tx.open(META)?.get(BODY_BYTES)?.map_or(0, |bytes| bytes.value()))
}

fn count_bodies(tx: &Tx<'_>, more: u64, less: u64) -> Result<(), Failure> {
    if more == less {
        return Ok(());
    }
    let bytes = body_bytes(tx)?.saturating_add(more).saturating_sub(less);
    tx.change(META)?.insert(BODY_BYTES, bytes)?;
    Ok(())
}

/// Lets go of the oldest bodies, where all of them take too much.
fn shed_bodies(tx: &Tx<'_>) -> Result<(), Failure> {
    while body_bytes(tx)? > MAX_BODY_BYTES {
        let first = tx.open(BODIES)?.first()?.map(|(aged, bytes)| {
            let (at, caller, key) = aged.value();
            (at, caller.to_owned(), key.to_owned(), bytes.value())
        });
        let Some((at, caller, key, bytes)) = first else { break };
        tx.change(BODIES)?.remove((at, caller.as_str(), key.as_str()))?;
        count_bodies(tx, 0, bytes)?;
        let place = (caller.as_str(), key.as_str());
        if let Some(kept) = tx.get(&ANSWERS, place)? {
            tx.put(&ANSWERS, place, &KeptAnswer { body: None, ..kept })?;
        }
    }
    Ok(())
}

/// Forgets some of what is older than a day, or more than there may be.
fn forget_old(tx: &Tx<'_>) -> Result<(), Failure> {
    let until = tx.now().as_millisecond() - KEPT_FOR_MS;
    let many = tx.open(ANSWERED_AT)?.len()? >= MAX_ANSWERS;
    let mut old = Vec::new();
    for entry in tx.open(ANSWERED_AT)?.iter()?.take(FORGET) {
        let place = entry?.0;
        let (at, caller, key) = place.value();
        if at >= until && !many {
            break;
        }
        old.push((at, caller.to_owned(), key.to_owned()));
    }
    for (at, caller, key) in &old {
        let place = (caller.as_str(), key.as_str());
        match tx.get(&ANSWERS, place)? {
            Some(kept) if moment(&kept) == *at => remove(tx, place, &kept)?,
            _ => drop(tx.change(ANSWERED_AT)?.remove((*at, place.0, place.1))?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use prx_base::clock::Clock;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn answer(clock: &Clock, fingerprint: u8) -> KeptAnswer {
        let body = Some(r#"{"id":"sess_1"}"#.into());
        KeptAnswer {
            fingerprint: [fingerprint; 32],
            target: String::new(),
            status: 201,
            body,
            at: clock.now(),
        }
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_a_day_and_survives_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::UNIX_EPOCH + 1_000_000 * HOUR);
        let store = Store::open(home.path(), clock.clone()).unwrap();
        let first = answer(&clock, 1);
        store.keep_answer("owner", "k", KeptAnswer { body: None, ..answer(&clock, 0) }).await.unwrap();
        store.keep_answer("owner", "k", first.clone()).await.unwrap();
        store.keep_answer("owner", "gone", first.clone()).await.unwrap();
        store.forget_answer("owner", "gone").await.unwrap();
        assert_eq!(store.kept_answer("owner", "gone").unwrap(), None);
        store.keep_answer("owner", "k", answer(&clock, 2)).await.unwrap();
        store.close().await;

        let store = Store::open(home.path(), clock.clone()).unwrap();
        clock.advance(23 * HOUR);
        assert_eq!(store.kept_answer("owner", "k").unwrap(), Some(first));
        assert_eq!(store.kept_answer("other", "k").unwrap(), None);
        clock.advance(HOUR);
        assert_eq!(store.kept_answer("owner", "k").unwrap(), None);
        let second = answer(&clock, 2);
        store.keep_answer("owner", "k", second.clone()).await.unwrap();
        assert_eq!(store.kept_answer("owner", "k").unwrap(), Some(second));
    }

    #[tokio::test]
    async fn old_answers_do_not_pile_up() {
        let home = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::UNIX_EPOCH + 1_000_000 * HOUR);
        let store = Store::open(home.path(), clock.clone()).unwrap();
        for n in 0..200 {
            store.keep_answer("owner", &n.to_string(), answer(&clock, 0)).await.unwrap();
            clock.advance(HOUR);
        }
        let kept = store.read(|snapshot| snapshot.count(&ANSWERS)).unwrap();
        assert!((24..=25).contains(&kept), "{kept}");
    }

    #[tokio::test]
    async fn large_answers_take_so_much_and_no_more() {
        let home = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::UNIX_EPOCH + 1_000_000 * HOUR);
        let store = Store::open(home.path(), clock.clone()).unwrap();
        let large = |clock: &Clock| KeptAnswer { body: Some("x".repeat(1 << 20)), ..answer(clock, 7) };
        for n in 0..20 {
            store.keep_answer("owner", &n.to_string(), large(&clock)).await.unwrap();
            clock.advance(Duration::from_secs(1));
        }
        let kept: Vec<_> =
            (0..20).map(|n| store.kept_answer("owner", &n.to_string()).unwrap().unwrap()).collect();
        let whole = kept.iter().filter(|kept| kept.body.is_some()).count();
        assert_eq!((kept.len(), whole), (20, 8), "that there was an answer is known of all");
        assert!(kept[19].body.is_some() && kept[0].body.is_none());
        for n in 0..20 {
            store.forget_answer("owner", &n.to_string()).await.unwrap();
        }
        store.keep_answer("owner", "new", large(&clock)).await.unwrap();
        let bytes =
            store.read(|snapshot| Ok(snapshot.open(META)?.get(BODY_BYTES)?.map(|bytes| bytes.value())));
        assert_eq!(bytes.unwrap(), Some(1 << 20), "what is forgotten takes nothing");
    }
}
