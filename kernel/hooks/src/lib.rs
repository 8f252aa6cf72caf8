//! Outgoing webhooks: what happens on the bus is queued for the hooks that take it and delivered, signed by
//! Standard Webhooks 1.0, until the receiver has taken it or it is given up.
//!
//! An event is safe once it is in the store's queue. Deliveries arrive at least once, with the same `webhook-id`
//! each time, and in no promised order.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::courier::Courier;
use prx_base::clock::{Clock, rfc3339};
use prx_base::config::{Live, Secret};
use prx_base::error::{Error, Result};
use prx_base::events::{Event, Events, Kind};
use prx_base::signature;
use prx_egress::{Egress, Origin};
use prx_store::{Delivery, Hook, NewHook, Notice, Store};

mod courier;
mod schedule;
#[cfg(test)]
mod tests;

/// Takes every event.
const ALL: &str = "*";
/// The event of a delivery that was asked for to see whether it arrives.
const TEST: &str = "hook.test";
/// Events that are queued at once, at most.
const BATCH: usize = 256;
/// The longest URL and the longest secret, in bytes.
const MAX_TEXT: usize = 2048;

/// What deliveries are made with.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Says whether receivers may be inside.
    pub config: Live,
    /// What happens.
    pub events: Events,
    /// Where hooks and deliveries are kept.
    pub store: Store,
    /// The way out.
    pub egress: Egress,
}

/// A cheap-clone handle to the hooks at work.
#[derive(Clone)]
pub struct Hooks(Arc<Work>);

struct Work {
    parts: Parts,
    /// Tells the couriers to look again.
    wake: watch::Sender<()>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A hook that was just registered.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The hook.
    pub hook: Hook,
    /// Its secret, if it had to be made. Nobody gets to see it again.
    pub made: Option<Secret>,
}

/// The body of a delivery.
#[derive(Serialize)]
struct Payload<'a> {
    #[serde(rename = "type")]
    event: &'a str,
    timestamp: String,
    data: &'a Value,
}

impl Hooks {
    /// Listens to the bus from now on, and takes up the deliveries that an earlier process left.
    ///
    /// # Errors
    /// The store has failed.
    pub fn start(parts: Parts) -> Result<Self> {
        let events = parts.events.subscribe();
        let known = parts.store.hooks()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let hooks = Self(Arc::new(Work { parts, wake: watch::Sender::new(()), stop, tasks }));
        for hook in known {
            hooks.employ(hook.id);
        }
        hooks.0.tasks.spawn(hooks.clone().listen(events));
        Ok(hooks)
    }

    /// Registers a hook. Without a secret one is made.
    ///
    /// # Errors
    /// 400 for a URL that can't be called or lies inside, when that isn't allowed, and for events there are none of;
    /// 409 when there are too many hooks.
    pub async fn register(
        &self,
        url: String,
        events: Vec<String>,
        secret: Option<String>,
    ) -> Result<Registered> {
        let Work { parts, .. } = &*self.0;
        check_url(&url, parts.config.current().hooks.allow_private)?;
        check_events(&events)?;
        check_length("secret", secret.as_deref().unwrap_or_default())?;
        let (secret, made) = match secret {
            Some(given) => (Secret::new(given), None),
            None => {
                let made = Secret::new(signature::make_secret()?);
                (made.clone(), Some(made))
            }
        };
        let hook = parts.store.add_hook(NewHook { url, events, secret }).await?;
        self.employ(hook.id.clone());
        Ok(Registered { hook, made })
    }

    /// Removes a hook; what waits for it is dropped.
    ///
    /// # Errors
    /// 404.
    pub async fn remove(&self, id: &str) -> Result<()> {
        self.0.parts.store.remove_hook(id).await?;
        self.0.wake.send_replace(());
        Ok(())
    }

    /// Queues a delivery that says nothing but that it is a test. It is attempted once.
    ///
    /// # Errors
    /// 404; 409 when the hook is turned off or too much waits for it.
    pub async fn test(&self, id: &str) -> Result<Delivery> {
        let now = self.0.parts.clock.now();
        let body = Payload { event: TEST, timestamp: rfc3339(now), data: &json!({"hook_id": id}) }.text()?;
        let delivery = self.0.parts.store.notify_hook(id, Notice { event: TEST, body }).await?;
        self.0.wake.send_replace(());
        Ok(delivery)
    }

    /// Delivers anew what was delivered or given up, or at once what waits, under the same `webhook-id`.
    ///
    /// # Errors
    /// 404; 409 when the hook is turned off or too much waits for it.
    pub async fn replay(&self, id: &str, delivery: &str) -> Result<Delivery> {
        let delivery = self.0.parts.store.replay_delivery(id, delivery).await?;
        self.0.wake.send_replace(());
        Ok(delivery)
    }

    /// Queues what has been published so far and waits so long for attempts under way. What is cut off is tried
    /// again after the next start.
    pub async fn stop(&self, patience: Duration) {
        let Work { parts, stop, tasks, .. } = &*self.0;
        stop.cancel();
        tasks.close();
        tokio::select! {
            () = tasks.wait() => {}
            () = parts.clock.sleep(patience) => {
                tracing::info!("deliveries to hooks are cut off; the next start makes them again");
            }
        }
    }

    /// Gives a hook its courier.
    fn employ(&self, hook: String) {
        let Work { parts, wake, stop, tasks } = &*self.0;
        let courier = Courier { hook, parts: parts.clone(), wake: wake.subscribe(), stop: stop.clone() };
        tasks.spawn(courier.run());
    }

    /// Queues what is published, many events at once, until told to stop.
    async fn listen(self, mut bus: Receiver<Arc<Event>>) {
        loop {
            let (mut batch, mut missed) = (Vec::new(), 0);
            let stopping = tokio::select! {
                biased;
                event = bus.recv() => {
                    match event {
                        Ok(event) => batch.push(event),
                        Err(RecvError::Lagged(count)) => missed += count,
                        Err(RecvError::Closed) => return,
                    }
                    false
                }
                () = self.0.stop.cancelled() => true,
            };
            while batch.len() < BATCH {
                match bus.try_recv() {
                    Ok(event) => batch.push(event),
                    Err(TryRecvError::Lagged(count)) => missed += count,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            if missed > 0 {
                tracing::error!(
                    missed,
                    "events came faster than they could be queued; hooks never get these"
                );
            }
            if let Err(error) = self.queue(&batch).await {
                tracing::error!(%error, "events could not be queued; hooks get nothing more until a restart");
                return;
            }
            if stopping && batch.is_empty() {
                return;
            }
        }
    }

    async fn queue(&self, batch: &[Arc<Event>]) -> Result<()> {
        let Work { parts, wake, .. } = &*self.0;
        let hooks = parts.store.hooks()?;
        let wanted = batch.iter().filter(|event| hooks.iter().any(|hook| hook.takes(event.kind.name())));
        let notices: Vec<_> = wanted.map(|event| notice(event)).collect::<Result<_>>()?;
        if notices.is_empty() {
            return Ok(());
        }
        let refused = parts.store.notify_hooks(notices).await?;
        if refused > 0 {
            tracing::error!(refused, "too many deliveries wait for a hook already; it never gets these");
        }
        wake.send_replace(());
        Ok(())
    }
}

impl Payload<'_> {
    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::internal)
    }
}

fn notice(event: &Event) -> Result<Notice> {
    let name = event.kind.name();
    let body = Payload { event: name, timestamp: rfc3339(event.timestamp), data: &event.data }.text()?;
    Ok(Notice { event: name, body })
}

fn check_url(url: &str, allow_private: bool) -> Result<()> {
    check_length("url", url)?;
    let origin = Origin::of_url(url)
        .map_err(|error| Error::bad_request(format!("`url` must be a whole http or https URL: {error}")))?;
    if origin.is_inside() && !allow_private {
        let message = "`url` must not be a loopback or private address, unless hooks.allow_private is true";
        return Err(Error::bad_request(message));
    }
    Ok(())
}

fn check_events(events: &[String]) -> Result<()> {
    let known = || [ALL].into_iter().chain(Kind::ALL.iter().map(|kind| kind.name()));
    let message = match events.iter().find(|event| known().all(|known| known != *event)) {
        Some(unknown) => format!("`events` has \"{unknown}\", which there is none of"),
        None if events.is_empty() => "`events` must not be empty".to_owned(),
        None => return Ok(()),
    };
    let known: Vec<_> = known().collect();
    Err(Error::bad_request(format!("{message}; there are {}", known.join(", "))))
}

fn check_length(name: &str, text: &str) -> Result<()> {
    if text.len() > MAX_TEXT {
        return Err(Error::bad_request(format!("`{name}` must not be longer than {MAX_TEXT} bytes")));
    }
    Ok(())
}
