//! Hooks: where events are delivered to. Their secrets leave this module only to sign with.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::handle::Store;
use super::model::Hook;
use super::rows::{Cause, Failure, MAX_PAGE, Result, Rows};
use super::tx::{Effect, Tx};
use prx_base::config::Secret;
use prx_base::error::Error;

pub(super) const HOOKS: Rows<&str, HookRow> = Rows::new("hooks");

/// The most hooks there can be.
const MAX_HOOKS: usize = 100;

pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), Cause> {
    Ok(HOOKS.create(transaction)?)
}

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
            HookRow { hook: hook.clone(), secret, waiting: 0, over: 0, dropped: 0 }.put(tx)?;
            tx.after_commit(Effect::Hook(hook.clone()));
            Ok(hook)
        })
        .await
    }

    /// The hooks there are, in the order in which they were registered.
    pub fn hooks(&self) -> Result<Vec<Hook>> {
        let rows = self.read(|snapshot| snapshot.page(&HOOKS, .., MAX_PAGE))?;
        Ok(rows.into_iter().map(|row| row.hook).collect())
    }
}
