//! Deliveries to hooks: queued until the receiver has taken them or they are given up, then kept for a while as a
//! record.

use std::borrow::Cow;
use std::ops::{Bound, RangeBounds};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::handle::Store;
use super::hooks::{HOOKS, HookRow};
use super::kept::Kept;
use super::model::Hook;
use super::rows::{Failure, LAST_ID, MAX_PAGE, Page, Result, Rows};
use super::tx::{Effect, Tx};
use prx_base::clock::rfc3339;
use prx_base::config::Secret;
use prx_base::error::{Code, Error};
use prx_base::events::{Event, Name};

/// Those that wait, by hook and id.
pub(super) const WAITING: Rows<(&str, &str), Delivery> = Rows::new("hook_deliveries_waiting");
/// Their ids, by hook, the millisecond at which they are due, and id.
const DUE: Rows<(&str, u64, &str), String> = Rows::new("hook_deliveries_due");
/// Those that are over, by hook and id.
pub(super) const OVER: Rows<(&str, &str), Delivery> = Rows::new("hook_deliveries_over");

/// The event of a delivery that was asked for to see whether it arrives.
pub const TEST_EVENT: &str = "hook.test";
/// The most that wait for one hook.
pub(super) const MAX_WAITING: u64 = 10_000;

pub(super) const TABLES: &[&dyn Kept] = &[&WAITING, &DUE, &OVER];

/// Something to be delivered to whoever takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The event's name.
    pub event: Cow<'static, str>,
    /// What is sent, to the byte.
    pub body: String,
}

impl Notice {
    /// What is sent about something of this name.
    pub fn new(event: impl Into<Cow<'static, str>>, at: Timestamp, data: &Value) -> Self {
        let event = event.into();
        #[derive(Serialize)]
        struct Payload<'a> {
            #[serde(rename = "type")]
            event: &'a str,
            timestamp: String,
            data: &'a Value,
        }
        let payload = Payload { event: &event, timestamp: rfc3339(at), data };
        let body = serde_json::to_string(&payload).unwrap_or_default();
        Self { event, body }
    }

    /// What is sent about an event.
    pub(super) fn of(event: &Event) -> Self {
        let name = match &event.name {
            Name::Kind(kind) => Cow::Borrowed(kind.name()),
            Name::Own(name) => Cow::Owned(name.as_ref().to_owned()),
        };
        Self::new(name, event.timestamp, &event.data)
    }
}

/// A notice on its way to one hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// `dlv_<ulid>`; the receiver sees the same one on every attempt.
    pub id: String,
    /// The event's name.
    pub event: String,
    /// What is sent, to the byte.
    pub body: String,
    /// How far it has come.
    pub status: DeliveryStatus,
    /// Attempts made since it was queued, by the event or by a replay.
    pub attempts: u32,
    /// When it was queued first.
    pub created_at: Timestamp,
    /// When it is tried next; none when it is over.
    pub next_attempt_at: Option<Timestamp>,
    /// What came of the last attempt.
    pub last_attempt: Option<Attempt>,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// Waits for its next attempt, or is being attempted.
    Pending,
    /// The receiver has taken it.
    Delivered,
    /// Given up.
    Failed,
}

/// One try at a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it was begun.
    pub at: Timestamp,
    /// What the receiver answered; none if nothing came back.
    pub status: Option<u16>,
    /// What went wrong, if anything.
    pub error: Option<String>,
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is over: the receiver has taken it.
    Delivered,
    /// To be tried again then.
    Retry(Timestamp),
    /// It is over: given up.
    Failed,
    /// It is over, and the hook is turned off: the receiver has said that it is gone. What waits for it is kept.
    Gone,
}

/// An attempt at one delivery, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The delivery's id.
    pub id: String,
    /// The attempt.
    pub attempt: Attempt,
    /// What follows.
    pub outcome: Outcome,
}

/// What a hook's next deliveries take.
#[derive(Debug, Clone)]
pub struct Round {
    /// The hook.
    pub hook: Hook,
    /// What they are signed with, each: the present secret, then those it has replaced a short while ago.
    pub secrets: Vec<Secret>,
    /// The deliveries, soonest first, whether due yet or not.
    pub deliveries: Vec<Delivery>,
}

impl Store {
    /// Queues a notice for one hook, whatever events it takes.
    ///
    /// # Errors
    /// `not_found`; `conflict` when the hook is turned off or too many deliveries wait for it.
    pub async fn notify_hook(&self, id: &str, notice: Notice) -> Result<Delivery> {
        let id = id.to_owned();
        self.write(move |tx| {
            let mut row = HookRow::of(tx, &id)?;
            with_room(&row)?;
            let delivery = new_delivery(tx, &notice);
            queue(tx, &mut row, &delivery)?;
            row.put(tx)?;
            Ok(delivery)
        })
        .await
    }

    /// Removes a hook and everything about its deliveries.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn remove_hook(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.write(move |tx| {
            HookRow::of(tx, &id)?;
            tx.remove(&HOOKS, id.as_str())?;
            empty(tx, &id)?;
            tx.clear(&OVER, before(&id, LAST_ID))?;
            tx.after_commit(Effect::HookRemoved(id));
            tx.after_commit(Effect::Deliveries);
            Ok(())
        })
        .await
    }

    /// Wakes whoever makes deliveries: something was queued, or a hook was removed.
    pub fn deliveries_queued(&self) -> watch::Receiver<()> {
        self.shared.deliveries.subscribe()
    }

    /// Queues a delivery anew, for now, with all its attempts before it. Its id stays.
    ///
    /// # Errors
    /// `not_found`; `conflict` when the hook is turned off or too many deliveries wait for it.
    pub async fn replay_delivery(&self, id: &str, delivery: &str) -> Result<Delivery> {
        let (id, delivery) = (id.to_owned(), delivery.to_owned());
        self.write(move |tx| {
            let mut row = HookRow::of(tx, &id)?;
            let key = (id.as_str(), delivery.as_str());
            let found = match tx.get(&WAITING, key)? {
                Some(waiting) => {
                    unqueue(tx, &mut row, &waiting)?;
                    waiting
                }
                None => {
                    let over = tx.get(&OVER, key)?.ok_or_else(|| Error::not_found("Delivery", &delivery))?;
                    with_room(&row)?;
                    tx.remove(&OVER, key)?;
                    row.over -= 1;
                    if over.status == DeliveryStatus::Failed && over.event != TEST_EVENT {
                        row.record.abandoned = row.record.abandoned.saturating_sub(1);
                    }
                    over
                }
            };
            let status = DeliveryStatus::Pending;
            let anew = Delivery { status, attempts: 0, next_attempt_at: Some(tx.now()), ..found };
            queue(tx, &mut row, &anew)?;
            row.put(tx)?;
            Ok(anew)
        })
        .await
    }

    /// The newest `limit` deliveries of a hook, newest last, those older than `than` if given. What is over is
    /// remembered for a while only.
    ///
    /// # Errors
    /// `not_found`.
    pub fn deliveries(&self, id: &str, limit: usize, than: Option<&str>) -> Result<Page<Delivery>> {
        self.read(|snapshot| {
            let row = HookRow::see(snapshot, id)?;
            let than = than.unwrap_or(LAST_ID);
            let mut items = snapshot.last_page(&WAITING, before(id, than), limit)?;
            items.extend(snapshot.last_page(&OVER, before(id, than), limit)?);
            items.sort_by(|a, b| a.id.cmp(&b.id));
            items.drain(..items.len().saturating_sub(limit));
            Ok(Page { items, total: usize::try_from(row.waiting + row.over).unwrap_or(usize::MAX) })
        })
    }

    /// What is to be delivered to a hook next, up to `limit`: nothing while it is turned off. None when it is removed.
    pub fn next_deliveries(&self, id: &str, limit: usize) -> Result<Option<Round>> {
        let now = self.shared.clock.now();
        self.read(|snapshot| {
            let Some(row) = snapshot.get(&HOOKS, id)? else { return Ok(None) };
            let row: HookRow = row;
            let hook = row.hook.clone();
            let limit = if hook.active { limit } else { 0 };
            let ids = snapshot.page(&DUE, due(id), limit)?;
            let deliveries = ids.iter().map(|delivery| snapshot.get(&WAITING, (id, delivery)));
            let deliveries: Vec<_> = deliveries.collect::<Result<_, _>>()?;
            let deliveries = deliveries.into_iter().flatten().collect();
            Ok(Some(Round { hook, secrets: row.secrets(now), deliveries }))
        })
    }
}

impl Store {
    /// The ids of a hook's deliveries whose body is as wanted, waiting or over.
    pub(super) async fn deliveries_where(
        &self,
        hook: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>> {
        let (mut found, mut than) = (Vec::new(), None::<String>);
        loop {
            let page = match self.deliveries(hook, MAX_PAGE, than.as_deref()) {
                Ok(page) => page.items,
                // It was removed meanwhile, with everything about it.
                Err(error) if error.code() == Code::NotFound => return Ok(found),
                Err(error) => return Err(error),
            };
            let Some(oldest) = page.first() else { return Ok(found) };
            than = Some(oldest.id.clone());
            found.extend(
                page.into_iter().filter(|delivery| wanted(&delivery.body)).map(|delivery| delivery.id),
            );
            tokio::task::yield_now().await;
        }
    }
}

/// Removes deliveries of a hook, and tells how many there were.
pub(super) fn erase(tx: &Tx<'_>, hook: &str, ids: &[String]) -> Result<usize, Failure> {
    let Some(mut row) = tx.get(&HOOKS, hook)? else { return Ok(0) };
    let before = row.waiting + row.over;
    for id in ids {
        let key = (hook, id.as_str());
        if let Some(waiting) = tx.get(&WAITING, key)? {
            unqueue(tx, &mut row, &waiting)?;
        } else if tx.get(&OVER, key)?.is_some() {
            tx.remove(&OVER, key)?;
            row.over -= 1;
        }
    }
    let after = row.waiting + row.over;
    row.put(tx)?;
    Ok(usize::try_from(before - after).unwrap_or(usize::MAX))
}

/// The rows of a hook whose id comes before this one.
pub(super) fn before<'k>(hook: &'k str, id: &'k str) -> impl RangeBounds<(&'k str, &'k str)> + 'k {
    (Bound::Included((hook, "")), Bound::Excluded((hook, id)))
}

fn due(hook: &str) -> impl RangeBounds<(&str, u64, &str)> {
    (hook, 0, "")..=(hook, u64::MAX, LAST_ID)
}

fn with_room(row: &HookRow) -> Result<(), Error> {
    let id = &row.hook.id;
    if !row.hook.active {
        let why = if row.record.paused { "" } else { ", for its receiver answered 410" };
        let message = format!("Hook {id} is turned off{why}; turn it on first: PATCH {{\"active\": true}}");
        return Err(Error::conflict(message));
    }
    if row.waiting >= MAX_WAITING {
        return Err(Error::conflict(format!("{MAX_WAITING} deliveries wait for hook {id} already")));
    }
    Ok(())
}

fn new_delivery(tx: &Tx<'_>, notice: &Notice) -> Delivery {
    Delivery {
        id: tx.id("dlv"),
        event: notice.event.clone().into_owned(),
        body: notice.body.clone(),
        status: DeliveryStatus::Pending,
        attempts: 0,
        created_at: tx.now(),
        next_attempt_at: Some(tx.now()),
        last_attempt: None,
    }
}

/// Queues a notice for a hook, unless that is turned off or removed by now. Where too many deliveries wait already it is
/// dropped, and counted. True: it is the first one dropped since the queue was last empty.
pub(super) fn offer(tx: &Tx<'_>, hook: &str, notice: &Notice) -> Result<bool, Failure> {
    let Some(mut row) = tx.get(&HOOKS, hook)? else { return Ok(false) };
    if !row.hook.active {
        return Ok(false);
    }
    if row.waiting < MAX_WAITING {
        queue(tx, &mut row, &new_delivery(tx, notice))?;
    } else {
        row.dropped += 1;
        row.record.lost += 1;
    }
    row.put(tx)?;
    Ok(row.dropped == 1 && row.waiting >= MAX_WAITING)
}

/// When a delivery is due, in whole milliseconds as [`DUE`] has it.
fn due_ms(delivery: &Delivery) -> u64 {
    let at = delivery.next_attempt_at.map_or(0, Timestamp::as_millisecond);
    u64::try_from(at).unwrap_or(0)
}

pub(super) fn queue(tx: &Tx<'_>, row: &mut HookRow, delivery: &Delivery) -> Result<(), Failure> {
    let (hook, id) = (row.hook.id.as_str(), delivery.id.as_str());
    tx.put(&WAITING, (hook, id), delivery)?;
    tx.put(&DUE, (hook, due_ms(delivery), id), &delivery.id)?;
    row.waiting += 1;
    tx.after_commit(Effect::Deliveries);
    Ok(())
}

pub(super) fn unqueue(tx: &Tx<'_>, row: &mut HookRow, delivery: &Delivery) -> Result<(), Failure> {
    let (hook, id) = (row.hook.id.as_str(), delivery.id.as_str());
    tx.remove(&WAITING, (hook, id))?;
    tx.remove(&DUE, (hook, due_ms(delivery), id))?;
    row.waiting -= 1;
    Ok(())
}

/// Drops what waits for a hook.
fn empty(tx: &Tx<'_>, hook: &str) -> Result<(), Failure> {
    tx.clear(&WAITING, before(hook, LAST_ID))?;
    tx.clear(&DUE, due(hook))
}
