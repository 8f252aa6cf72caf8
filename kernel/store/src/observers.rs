//! Observers: how far each plugin has read the log of events. What it does about them takes effect with the note of that.

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::actions::{self, Action};
use super::handle::Store;
use super::kept::Kept;
use super::rows::{Cause, Failure, Result, Rows};
use super::tx::{Effect, Tx};
use jiff::Timestamp;

/// By plugin.
const OBSERVERS: Rows<&str, ObserverRecord> = Rows::new("observers");

pub(super) const TABLES: &[&dyn Kept] = &[&OBSERVERS];

/// Whether there are any.
pub(super) fn any(transaction: &WriteTransaction) -> Result<bool, Cause> {
    Ok(!transaction.open_table(OBSERVERS.table())?.is_empty()?)
}

/// How far a plugin has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserverRecord {
    /// The plugin.
    pub plugin: String,
    /// The number of the last event that it has dealt with.
    pub seen: u64,
    /// How many were gone before it came to them.
    pub lost: u64,
    /// When that was noticed last.
    pub lost_at: Option<Timestamp>,
}

impl Store {
    /// How far a plugin has read; none where it never has.
    pub fn observer(&self, plugin: &str) -> Result<Option<ObserverRecord>> {
        self.read(|snapshot| snapshot.get(&OBSERVERS, plugin))
    }

    /// Takes notice of a plugin that reads the log. One that is new begins with what happens from now on.
    pub async fn notice_observer(&self, plugin: &str) -> Result<ObserverRecord> {
        let newest = self.newest_event()?;
        let plugin = plugin.to_owned();
        self.write(move |tx| match tx.get(&OBSERVERS, plugin.as_str())? {
            Some(record) => Ok(record),
            None => {
                let record = ObserverRecord { plugin, seen: newest, lost: 0, lost_at: None };
                put(tx, &record)?;
                tx.after_commit(Effect::Observed(true));
                Ok(record)
            }
        })
        .await
    }

    /// Notes that a plugin has dealt with the events up to this number, of which so many were gone, with everything that it
    /// does about them. False: it was forgotten meanwhile, and nothing is done.
    pub async fn advance_observer(
        &self,
        plugin: &str,
        seen: u64,
        lost: u64,
        actions: Vec<Action>,
    ) -> Result<bool> {
        let plugin = plugin.to_owned();
        self.write(move |tx| {
            let Some(mut record) = tx.get(&OBSERVERS, plugin.as_str())? else { return Ok(false) };
            actions::perform(tx, actions)?;
            record.seen = seen;
            if lost > 0 {
                record.lost += lost;
                record.lost_at = Some(tx.now());
            }
            put(tx, &record)?;
            Ok(true)
        })
        .await
    }

    /// Forgets the observers that are not to be kept.
    pub async fn forget_observers(&self, keep: impl Fn(&str) -> bool) -> Result<()> {
        let gone = self.read(|snapshot| {
            let mut gone = Vec::new();
            for entry in snapshot.open(OBSERVERS.table())?.iter()? {
                let entry = entry?;
                if !keep(entry.0.value()) {
                    gone.push(entry.0.value().to_owned());
                }
            }
            Ok(gone)
        })?;
        if gone.is_empty() {
            return Ok(());
        }
        self.write(move |tx| {
            gone.iter().try_for_each(|plugin| tx.remove(&OBSERVERS, plugin.as_str()))?;
            tx.after_commit(Effect::Observed(!tx.open(OBSERVERS.table())?.is_empty()?));
            Ok(())
        })
        .await
    }
}

fn put(tx: &Tx<'_>, record: &ObserverRecord) -> Result<(), Failure> {
    tx.put(&OBSERVERS, record.plugin.as_str(), record)
}
