//! Answers that are given again when the same request comes again.

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::handle::Store;
use super::rows::{Cause, Failure, Result, Rows};
use super::tx::Tx;

/// By the caller and the key that it gave.
const ANSWERS: Rows<(&str, &str), KeptAnswer> = Rows::new("idempotency");
/// The same by age (Unix milliseconds), to forget them.
const ANSWERED_AT: TableDefinition<'static, (i64, &str, &str), ()> = TableDefinition::new("idempotency_at");

/// How long an answer is given again.
const KEPT_FOR_MS: i64 = 24 * 60 * 60 * 1000;
/// Answers that keeping one may forget: bounded work, and yet they never pile up.
const FORGET: usize = 16;

pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), Cause> {
    ANSWERS.create(transaction)?;
    transaction.open_table(ANSWERED_AT)?;
    Ok(())
}

/// An answer, and what it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// What identifies the request besides its key.
    pub fingerprint: [u8; 32],
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

    /// Keeps an answer for 24 hours, and forgets older ones. The first one under a key that has a body stays.
    pub async fn keep_answer(&self, caller: &str, key: &str, answer: KeptAnswer) -> Result<()> {
        let (caller, key) = (caller.to_owned(), key.to_owned());
        self.write(move |tx| {
            forget_old(tx)?;
            let place = (caller.as_str(), key.as_str());
            match tx.get(&ANSWERS, place)? {
                Some(kept) if kept.body.is_some() && !kept.is_old(tx.now()) => return Ok(()),
                Some(old) => drop(tx.change(ANSWERED_AT)?.remove((moment(&old), place.0, place.1))?),
                None => {}
            }
            tx.change(ANSWERED_AT)?.insert((moment(&answer), place.0, place.1), ())?;
            tx.put(&ANSWERS, place, &answer)
        })
        .await
    }

    /// Forgets what is kept under a key.
    pub async fn forget_answer(&self, caller: &str, key: &str) -> Result<()> {
        let (caller, key) = (caller.to_owned(), key.to_owned());
        self.write(move |tx| {
            let place = (caller.as_str(), key.as_str());
            let Some(kept) = tx.get(&ANSWERS, place)? else { return Ok(()) };
            tx.change(ANSWERED_AT)?.remove((moment(&kept), place.0, place.1))?;
            tx.remove(&ANSWERS, place)
        })
        .await
    }
}

fn moment(answer: &KeptAnswer) -> i64 {
    answer.at.as_millisecond()
}

fn forget_old(tx: &Tx<'_>) -> Result<(), Failure> {
    let until = tx.now().as_millisecond() - KEPT_FOR_MS;
    let mut old = Vec::new();
    for entry in tx.open(ANSWERED_AT)?.range(..(until, "", ""))?.take(FORGET) {
        let place = entry?.0;
        let (at, caller, key) = place.value();
        old.push((at, caller.to_owned(), key.to_owned()));
    }
    for (at, caller, key) in &old {
        tx.change(ANSWERED_AT)?.remove((*at, caller.as_str(), key.as_str()))?;
        tx.remove(&ANSWERS, (caller.as_str(), key.as_str()))?;
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
        KeptAnswer { fingerprint: [fingerprint; 32], status: 201, body, at: clock.now() }
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
}
