//! What becomes of deliveries once they were attempted, and what a hook's record says of it.

use jiff::{SignedDuration, Timestamp};

use super::deliveries::{
    Delivery, DeliveryStatus, OVER, Outcome, Settled, TEST_EVENT, WAITING, before, queue, unqueue,
};
use super::events;
use super::handle::Store;
use super::hooks::{HOOKS, HookRecord, HookRow};
use super::rows::{Failure, LAST_ID, Result};
use super::tx::{Effect, Tx};
use prx_base::events::Kind;

/// How many deliveries of one hook are remembered when they are over.
const MAX_OVER: u64 = 500;
/// How long a delivery that was given up, and that nobody replays, is a problem of its hook: a day.
pub(super) const ABANDONED_FOR: SignedDuration = SignedDuration::from_hours(24);

impl Store {
    /// Notes what came of attempts at deliveries to a hook, which were sent to `url`. When one of them says that the
    /// receiver is gone the hook is turned off, unless it leads elsewhere by now; what waits for it is kept. A delivery or
    /// a hook that is gone itself is passed over.
    pub async fn settle_deliveries(&self, id: &str, url: &str, settled: Vec<Settled>) -> Result<()> {
        let (id, url) = (id.to_owned(), url.to_owned());
        self.write(move |tx| {
            let Some(mut row) = tx.get(&HOOKS, id.as_str())? else { return Ok(()) };
            let mut told = Vec::new();
            for settled in settled {
                told.extend(settle(tx, &mut row, &url, settled)?);
            }
            if row.waiting == 0 {
                row.dropped = 0;
            }
            row.put(tx)?;
            told.dedup();
            for reason in told {
                events::announce_hook_failure(tx, &id, &reason)?;
            }
            Ok(())
        })
        .await
    }
}

/// Settles one delivery. What it answers is to be announced, once the hook's row is stored.
fn settle(tx: &Tx<'_>, row: &mut HookRow, url: &str, settled: Settled) -> Result<Option<String>, Failure> {
    let Some(mut delivery) = tx.get(&WAITING, (row.hook.id.as_str(), settled.id.as_str()))? else {
        return Ok(None);
    };
    unqueue(tx, row, &delivery)?;
    let error = settled.attempt.error.clone().unwrap_or_default();
    delivery.attempts += 1;
    delivery.last_attempt = Some(settled.attempt);
    (delivery.status, delivery.next_attempt_at) = match settled.outcome {
        Outcome::Retry(at) => (DeliveryStatus::Pending, Some(at)),
        Outcome::Delivered => (DeliveryStatus::Delivered, None),
        Outcome::Failed | Outcome::Gone => (DeliveryStatus::Failed, None),
    };
    row.record.note(&delivery, &error, tx.now());
    match delivery.status {
        DeliveryStatus::Pending => queue(tx, row, &delivery)?,
        DeliveryStatus::Delivered | DeliveryStatus::Failed => remember(tx, row, &delivery)?,
    }
    if settled.outcome == Outcome::Gone && row.hook.active && row.hook.url == url {
        row.hook.active = false;
        row.record.gone_at = Some(tx.now());
        tx.after_commit(Effect::Hook(row.hook.clone()));
        return Ok(Some("its receiver answered 410 Gone: this hook is turned off".to_owned()));
    }
    let told = delivery.status == DeliveryStatus::Failed
        && ![TEST_EVENT, Kind::ErrorOccurred.name()].contains(&delivery.event.as_str());
    Ok(told.then(|| format!("delivery {} was given up: {error}", delivery.id)))
}

impl HookRecord {
    /// Takes in what came of a delivery's last attempt.
    fn note(&mut self, delivery: &Delivery, error: &str, now: Timestamp) {
        if delivery.status == DeliveryStatus::Delivered {
            self.delivered += 1;
            self.failing_since = None;
            return;
        }
        self.failing_since.get_or_insert(now);
        self.last_error = Some(error.to_owned());
        if delivery.status == DeliveryStatus::Failed && delivery.event != TEST_EVENT {
            if self.given_up_at.is_none_or(|last| now.duration_since(last) >= ABANDONED_FOR) {
                self.abandoned = 0;
            }
            self.given_up += 1;
            self.abandoned += 1;
            self.given_up_at = Some(now);
        }
    }
}

/// Keeps a delivery that is over, in place of the oldest one where there are enough.
fn remember(tx: &Tx<'_>, row: &mut HookRow, delivery: &Delivery) -> Result<(), Failure> {
    let hook = row.hook.id.as_str();
    tx.put(&OVER, (hook, delivery.id.as_str()), delivery)?;
    row.over += 1;
    if row.over > MAX_OVER
        && let Some(oldest) = tx.page(&OVER, before(hook, LAST_ID), 1)?.first()
    {
        tx.remove(&OVER, (hook, oldest.id.as_str()))?;
        row.over -= 1;
    }
    Ok(())
}
