//! Hooks: where events are delivered to. Their secrets leave this module only to sign with.

use jiff::{SignedDuration, Timestamp};
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::handle::Store;
use super::kept::Kept;
use super::model::Hook;
use super::rows::{Cause, Failure, MAX_PAGE, Result, Rows, Snapshot};
use super::tx::{Effect, Tx};
use prx_base::config::Secret;
use prx_base::error::Error;

pub(super) const HOOKS: Rows<&str, HookRow> = Rows::new("hooks");

/// The most hooks there can be.
const MAX_HOOKS: usize = 100;
/// Secrets of a hook that were replaced and still sign, at most; the newest ones.
const MAX_REPLACED: usize = 3;

pub(super) const TABLES: &[&dyn Kept] = &[&HOOKS];

/// The hooks there are, for the start.
pub(super) fn all(transaction: &WriteTransaction) -> Result<Vec<Hook>, Cause> {
    let mut hooks = Vec::new();
    HOOKS.each(transaction, |row: HookRow| hooks.push(row.hook))?;
    Ok(hooks)
}

/// A hook to be registered.
#[derive(Debug, Clone)]
pub struct NewHook {
    /// Where to.
    pub url: String,
    /// Names of the events it takes.
    pub events: Vec<String>,
    /// What deliveries are signed with.
    pub secret: Secret,
}

/// What is to change about a hook; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct HookChange {
    /// Where to.
    pub url: Option<String>,
    /// Names of the events it takes.
    pub events: Option<Vec<String>>,
    /// Whether it is turned on.
    pub active: Option<bool>,
    /// What deliveries are signed with from now on, and for how long by the secret before, too.
    pub secret: Option<(Secret, SignedDuration)>,
}

/// A hook, what its deliveries are signed with, and how many of them there are.
#[derive(Serialize, Deserialize)]
pub(super) struct HookRow {
    pub(super) hook: Hook,
    pub(super) secret: String,
    pub(super) waiting: u64,
    pub(super) over: u64,
    /// Deliveries that found the queue full since it was last empty.
    #[serde(default)]
    pub(super) dropped: u64,
    /// Secrets that were replaced and sign for a while, newest first.
    #[serde(default)]
    pub(super) replaced: Vec<ReplacedSecret>,
    #[serde(default)]
    pub(super) record: HookRecord,
}

/// A secret that was replaced.
#[derive(Serialize, Deserialize)]
pub(super) struct ReplacedSecret {
    secret: String,
    /// The moment from which it signs no more.
    until: Timestamp,
}

/// How a hook's deliveries have gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookRecord {
    /// Deliveries that the receiver has taken.
    pub delivered: u64,
    /// Deliveries that were given up.
    pub given_up: u64,
    /// Events that were not queued, for too many deliveries waited.
    pub lost: u64,
    /// Deliveries given up that nobody has replayed, of those since [`HookRecord::given_up_at`] was last a day ago.
    pub abandoned: u64,
    /// When one was last given up.
    pub given_up_at: Option<Timestamp>,
    /// Since when no attempt has succeeded; none where the last one has.
    pub failing_since: Option<Timestamp>,
    /// What was wrong with the last attempt that failed.
    pub last_error: Option<String>,
    /// When the receiver said that it is gone, which turned the hook off; none once it is turned on again.
    pub gone_at: Option<Timestamp>,
    /// The operator has turned it off.
    pub paused: bool,
}

/// A hook and how its deliveries go.
#[derive(Debug, Clone, PartialEq)]
pub struct HookState {
    /// The hook.
    pub hook: Hook,
    /// How many deliveries wait.
    pub waiting: u64,
    /// How many events found no room since the queue was last empty.
    pub dropped: u64,
    /// How the others have gone.
    pub record: HookRecord,
    /// Until when the secret before the present one signs, too.
    pub replaced_until: Option<Timestamp>,
}

impl HookRow {
    pub(super) fn of(tx: &Tx<'_>, id: &str) -> Result<Self, Failure> {
        Ok(tx.get(&HOOKS, id)?.ok_or_else(|| Error::not_found("Hook", id))?)
    }

    pub(super) fn see(snapshot: &Snapshot, id: &str) -> Result<Self, Failure> {
        Ok(snapshot.get(&HOOKS, id)?.ok_or_else(|| Error::not_found("Hook", id))?)
    }

    pub(super) fn put(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        tx.put(&HOOKS, self.hook.id.as_str(), self)
    }

    /// What deliveries are signed with at a moment: the present secret, then those it has replaced.
    pub(super) fn secrets(self, now: Timestamp) -> Vec<Secret> {
        let replaced = self.replaced.into_iter().filter(|replaced| replaced.until > now);
        [self.secret].into_iter().chain(replaced.map(|replaced| replaced.secret)).map(Secret::new).collect()
    }

    fn state(self, now: Timestamp) -> HookState {
        let replaced_until =
            self.replaced.iter().map(|replaced| replaced.until).filter(|end| *end > now).max();
        let Self { hook, waiting, dropped, record, .. } = self;
        HookState { hook, waiting, dropped, record, replaced_until }
    }

    fn change(&mut self, change: HookChange, now: Timestamp) {
        if let Some(url) = change.url {
            self.hook.url = url;
        }
        if let Some(events) = change.events {
            self.hook.events = events;
        }
        if let Some(active) = change.active {
            self.hook.active = active;
            self.record.paused = !active;
            self.record.gone_at = None;
            self.record.failing_since = None;
        }
        if let Some((secret, overlap)) = change.secret {
            let until = now.checked_add(overlap).unwrap_or(Timestamp::MAX);
            let before = std::mem::replace(&mut self.secret, secret.expose().to_owned());
            self.replaced.retain(|replaced| replaced.until > now);
            if until > now && before != self.secret {
                self.replaced.insert(0, ReplacedSecret { secret: before, until });
            }
            self.replaced.truncate(MAX_REPLACED);
        }
    }
}

impl Store {
    /// Registers a hook.
    ///
    /// # Errors
    /// `conflict` when there are as many as there can be.
    pub async fn add_hook(&self, new: NewHook) -> Result<Hook> {
        self.write(move |tx| {
            if tx.page(&HOOKS, .., MAX_HOOKS)?.len() == MAX_HOOKS {
                let message = format!("There are {MAX_HOOKS} hooks, the most there can be; remove one first");
                return Err(Error::conflict(message).into());
            }
            let NewHook { url, events, secret } = new;
            let hook = Hook { id: tx.id("hook"), url, events, active: true, created_at: tx.now() };
            let row = HookRow {
                hook: hook.clone(),
                secret: secret.expose().to_owned(),
                waiting: 0,
                over: 0,
                dropped: 0,
                replaced: Vec::new(),
                record: HookRecord::default(),
            };
            row.put(tx)?;
            tx.after_commit(Effect::Hook(hook.clone()));
            Ok(hook)
        })
        .await
    }

    /// Changes a hook. One that is turned on again is delivered what waits for it.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn change_hook(&self, id: &str, change: HookChange) -> Result<HookState> {
        let id = id.to_owned();
        self.write(move |tx| {
            let mut row = HookRow::of(tx, &id)?;
            row.change(change, tx.now());
            row.put(tx)?;
            tx.after_commit(Effect::Hook(row.hook.clone()));
            tx.after_commit(Effect::Deliveries);
            Ok(row.state(tx.now()))
        })
        .await
    }

    /// The hooks there are, in the order in which they were registered.
    pub fn hooks(&self) -> Result<Vec<Hook>> {
        let rows = self.read(|snapshot| snapshot.page(&HOOKS, .., MAX_PAGE))?;
        Ok(rows.into_iter().map(|row| row.hook).collect())
    }

    /// How the deliveries of every hook go, in the same order.
    pub fn hook_states(&self) -> Result<Vec<HookState>> {
        let rows = self.read(|snapshot| snapshot.page(&HOOKS, .., MAX_PAGE))?;
        let now = self.shared.clock.now();
        Ok(rows.into_iter().map(|row| row.state(now)).collect())
    }

    /// How the deliveries of one hook go.
    ///
    /// # Errors
    /// `not_found`.
    pub fn hook_state(&self, id: &str) -> Result<HookState> {
        let row = self.read(|snapshot| HookRow::see(snapshot, id))?;
        Ok(row.state(self.shared.clock.now()))
    }
}
