//! Events: each is announced by the verb that makes it happen. In the verb's own commit it is added to the log of events and
//! queued for the hooks that take it; once that is durable it is published on the bus. After a crash there is either all or
//! none of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;

use super::deliveries::{self, MAX_WAITING, Notice};
use super::event_log;
use super::handle::Store;
use super::ids::lock;
use super::rows::{Failure, Result};
use super::tx::{Effect, Order, Shared, Tx, failed};
use prx_base::events::{Event, Events, Kind, Name, NewEvent};

/// How long an event that nobody takes durably waits for a commit that is made anyway: nothing that happens often costs the
/// disk more than ten commits a second.
pub(super) const MAX_WAIT: Duration = Duration::from_millis(100);

impl Store {
    /// The bus on which events are published once they are committed. It wakes readers; nothing is lost with it.
    pub fn events(&self) -> &Events {
        &self.shared.events
    }

    /// Records an event that is no other verb's. Where a hook takes it, or there are observers, it is on disk when this
    /// returns. Else nobody misses it if a crash comes first: it waits for a commit, [`MAX_WAIT`] at most.
    pub async fn record_event(&self, event: NewEvent) -> Result<()> {
        if self.shared.subscriptions.takes(event.kind.name()) {
            return self.write(move |tx| announce(tx, event.kind, event.data)).await;
        }
        if !self.is_healthy() {
            return Err(failed());
        }
        self.record_event_soon(event);
        Ok(())
    }

    /// Records an event for code that can't wait: the next commit takes it in, which comes at once where
    /// [`Store::record_event`] would wait for it.
    pub fn record_event_soon(&self, event: NewEvent) {
        let is_taken = self.shared.subscriptions.takes(event.kind.name());
        let is_first = {
            let mut announced = lock(&self.shared.announced);
            announced.push(event);
            announced.len() == 1
        };
        match Handle::try_current() {
            Ok(runtime) if !is_taken => {
                // Who is not the first finds the timer set, or the commit under way.
                if is_first {
                    let shared = Arc::clone(&self.shared);
                    runtime.spawn(async move {
                        shared.clock.sleep(MAX_WAIT).await;
                        shared.take_in_announced();
                    });
                }
            }
            _ => self.shared.take_in_announced(),
        }
    }
}

impl Shared {
    /// Has the writer commit the events that wait for it.
    fn take_in_announced(&self) {
        let sent = self.orders.upgrade().map(|orders| orders.try_send(Order::Announced));
        // When the queue is full the verbs in it bring about a commit too.
        if matches!(sent, None | Some(Err(TrySendError::Closed(_)))) {
            self.drop_announced();
        }
    }
}

/// Announces an event: in this commit it is queued for every active hook that takes it, and after it is published.
pub(super) fn announce(tx: &Tx<'_>, kind: Kind, data: Value) -> Result<(), Failure> {
    publish(tx, kind.into(), data, None)
}

/// Announces an event of a plugin's own.
pub(super) fn announce_own(tx: &Tx<'_>, name: &str, data: Value) -> Result<(), Failure> {
    publish(tx, Name::Own(name.into()), data, None)
}

/// Announces what is wrong with a hook to all but that hook. It is not to be called about a delivery of such an event:
/// hooks that fail would tell each other of it for ever.
pub(super) fn announce_hook_failure(tx: &Tx<'_>, hook: &str, reason: &str) -> Result<(), Failure> {
    publish(tx, Kind::ErrorOccurred.into(), json!({ "hook_id": hook, "reason": reason }), Some(hook))
}

fn publish(tx: &Tx<'_>, name: Name, data: Value, but: Option<&str>) -> Result<(), Failure> {
    let is_error = name == Kind::ErrorOccurred.into();
    let seq = event_log::append(tx, name.as_str(), &data)?;
    let event = Event { seq, name, timestamp: tx.now(), data };
    let mut takers = tx.takers(event.name.as_str());
    takers.retain(|hook| Some(hook.as_str()) != but);
    let mut full = Vec::new();
    if !takers.is_empty() {
        let notice = Notice::of(&event);
        for hook in takers {
            if deliveries::offer(tx, &hook, &notice)? {
                full.push(hook);
            }
        }
    }
    tx.after_commit(Effect::Event(event));
    for hook in full {
        let reason = format!("{MAX_WAITING} deliveries wait for this hook: it misses events from here on");
        tracing::error!(hook, "{reason}");
        if !is_error {
            announce_hook_failure(tx, &hook, &reason)?;
        }
    }
    Ok(())
}
