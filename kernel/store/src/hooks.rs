//! Hooks: where events are delivered to. Their secrets leave this module only to sign with.

use jiff::Timestamp;
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::rows::{Cause, Failure, MAX_PAGE, Rows, Tx};
use super::{Store, deliveries};
use prx_base::config::Secret;
use prx_base::error::{Error, Result};

pub(super) const HOOKS: Rows<&str, HookRow> = Rows::new("hooks");

/// The most hooks there can be.
const MAX_HOOKS: usize = 100;

pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), Cause> {
    Ok(HOOKS.create(transaction)?)
}

/// Somewhere events are delivered to. Its secret is not part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// `hook_<ulid>`
    pub id: String,
    /// Where to.
    pub url: String,
    /// Names of the events it takes; `*` is all of them.
    pub events: Vec<String>,
    /// False once the receiver has said that it is gone.
    pub active: bool,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl Hook {
    /// Whether it takes events of this name.
    pub fn takes(&self, event: &str) -> bool {
        self.active && self.events.iter().any(|taken| taken == "*" || taken == event)
    }
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

/// A hook, what its deliveries are signed with, and how many of them there are.
#[derive(Serialize, Deserialize)]
pub(super) struct HookRow {
    pub(super) hook: Hook,
    pub(super) secret: String,
    pub(super) waiting: u64,
    pub(super) over: u64,
}

impl HookRow {
    pub(super) fn of(tx: &Tx<'_>, id: &str) -> Result<Self, Failure> {
        Ok(tx.get(&HOOKS, id)?.ok_or_else(|| Error::not_found("Hook", id))?)
    }

    pub(super) fn put(&self, tx: &Tx<'_>) -> Result<(), Failure> {
        tx.put(&HOOKS, self.hook.id.as_str(), self)
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
            let secret = secret.expose().to_owned();
            HookRow { hook: hook.clone(), secret, waiting: 0, over: 0 }.put(tx)?;
            Ok(hook)
        })
        .await
    }

    /// The hooks there are, in the order in which they were registered.
    ///
    /// # Errors
    /// Only when the store has failed.
    pub fn hooks(&self) -> Result<Vec<Hook>> {
        let rows = self.read(|snapshot| snapshot.page(&HOOKS, .., MAX_PAGE))?;
        Ok(rows.into_iter().map(|row| row.hook).collect())
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
            deliveries::forget(tx, &id)
        })
        .await
    }
}
