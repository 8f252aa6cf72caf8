//! Events: each is announced by the verb that makes it happen. It is queued for the hooks that take it in the verb's own
//! commit, and published on the bus once that is durable: after a crash there is either both or none of it.

use serde_json::Value;
use tokio::sync::mpsc::error::TrySendError;

use super::deliveries::{self, Notice};
use super::handle::Store;
use super::ids::lock;
use super::rows::{Failure, Result};
use super::tx::{Effect, Order, Tx};
use prx_base::events::{Event, Events, Kind, NewEvent};

impl Store {
    /// The bus on which events are published once they are committed. It wakes readers; nothing is lost with it.
    pub fn events(&self) -> &Events {
        &self.shared.events
    }

    /// Records an event that is no other verb's: it is queued for the hooks that take it when this returns.
    pub async fn record_event(&self, event: NewEvent) -> Result<()> {
        self.write(move |tx| announce(tx, event.kind, event.data)).await
    }

    /// Records an event as [`Store::record_event`] does, for code that can't wait: the next commit takes it in.
    pub fn record_event_soon(&self, event: NewEvent) {
        lock(&self.shared.announced).push(event);
        // When the queue is full the verbs in it bring about a commit too.
        if let Err(TrySendError::Closed(_)) = self.orders.try_send(Order::Announced) {
            self.shared.drop_announced();
        }
    }
}

/// Announces an event: in this commit it is queued for every active hook that takes it, and after it is published.
pub(super) fn announce(tx: &Tx<'_>, kind: Kind, data: Value) -> Result<(), Failure> {
    let event = Event { kind, timestamp: tx.now(), data };
    let takers = tx.takers(kind);
    if !takers.is_empty() {
        let notice = Notice::of(&event);
        for hook in takers {
            deliveries::offer(tx, &hook, &notice)?;
        }
    }
    tx.after_commit(Effect::Event(event));
    Ok(())
}
