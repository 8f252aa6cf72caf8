//! Outgoing webhooks: an event that a hook takes becomes a **delivery** to its receiver, signed by Standard Webhooks 1.0 and
//! repeated by the **retry schedule** until the receiver has taken it or it is given up.
//!
//! The store queues a delivery in the commit of the verb that the event tells of, so an event is safe when the verb has
//! returned. Here each hook has a worker that makes its deliveries; the store wakes it when something was queued. They
//! arrive at least once, with the same `webhook-id` each time, and in no promised order. A hook for which too many wait
//! shows as an issue in the gateway's status. What is given up stays in the hook's record for a while, from which it can be
//! replayed; it is what the **dead letter** is to a channel's outbox.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::worker::DeliveryWorker;
use prx_base::Base;
use prx_base::config::Secret;
use prx_base::error::{Error, Result};
use prx_base::events::Kind;
use prx_base::signature;
use prx_egress::{Egress, Origin};
use prx_store::{Delivery, Hook, HookChange, HookState, NewHook, Notice, Store, TEST_EVENT};

mod schedule;
#[cfg(test)]
mod tests;
mod worker;

/// Takes every event.
const ALL: &str = "*";
/// The longest URL and the longest secret, in bytes.
const MAX_TEXT: usize = 2048;

/// How long the secret before the present one signs, too, if nobody says: a day.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it may at most, in seconds: a week.
pub const MAX_OVERLAP_SECS: u64 = 7 * 24 * 60 * 60;

/// A cheap-clone handle to the hooks at work.
#[derive(Clone)]
pub struct Hooks(Arc<Work>);

struct Work {
    base: Base,
    store: Store,
    egress: Egress,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// The hooks that have a worker. The lock is never held across an await.
    workers: Mutex<HashSet<String>>,
}

/// A hook that was just registered.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The hook.
    pub hook: Hook,
    /// Its secret, if it had to be made. Nobody gets to see it again.
    pub made: Option<Secret>,
}

/// What is to change about a hook; what is none stays.
#[derive(Debug, Default)]
pub struct HookEdit {
    /// Where to.
    pub url: Option<String>,
    /// Names of the events it takes.
    pub events: Option<Vec<String>>,
    /// Whether it is turned on.
    pub active: Option<bool>,
    /// Another secret: this one, or one that is made.
    pub secret: Option<Option<String>>,
    /// How long deliveries are signed by the secret before, too; a day if not said.
    pub overlap: Option<Duration>,
}

/// A hook that was just changed.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The hook as it is now.
    pub state: HookState,
    /// Its secret, if one had to be made. Nobody gets to see it again.
    pub made: Option<Secret>,
}

impl Hooks {
    /// Sets a worker to each hook's deliveries; those that an earlier process left come first.
    ///
    /// # Errors
    /// The store has failed.
    pub fn start(base: Base, store: Store, egress: Egress) -> Result<Self> {
        let known = store.hooks()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let workers = Mutex::default();
        let hooks = Self(Arc::new(Work { base, store, egress, stop, tasks, workers }));
        for hook in known {
            hooks.spawn(hook.id);
        }
        hooks.0.tasks.spawn(hooks.clone().follow_store());
        Ok(hooks)
    }

    /// Sets workers to the hooks that were registered when the store failed, and are there all the same.
    async fn follow_store(self) {
        let Work { store, stop, .. } = &*self.0;
        let mut reopened = store.reopened();
        while let Some(Ok(())) = stop.run_until_cancelled(reopened.changed()).await {
            for hook in store.hooks().unwrap_or_default() {
                self.spawn(hook.id);
            }
        }
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
        let Work { base, store, .. } = &*self.0;
        check_url(&url, base.config.current().hooks.allow_private)?;
        check_events(&events)?;
        let (secret, made) = match secret {
            Some(given) => (checked_secret(given)?, None),
            None => {
                let made = Secret::new(signature::make_secret()?);
                (made.clone(), Some(made))
            }
        };
        let hook = store.add_hook(NewHook { url, events, secret }).await?;
        self.spawn(hook.id.clone());
        Ok(Registered { hook, made })
    }

    /// Changes a hook. One that is turned on is delivered what waits for it.
    ///
    /// # Errors
    /// As for [`Hooks::register`]; 404.
    pub async fn change(&self, id: &str, edit: HookEdit) -> Result<Changed> {
        let Work { base, store, .. } = &*self.0;
        if let Some(url) = &edit.url {
            check_url(url, base.config.current().hooks.allow_private)?;
        }
        edit.events.as_deref().map_or(Ok(()), check_events)?;
        let (secret, made) = match edit.secret {
            None => (None, None),
            Some(Some(given)) => (Some(checked_secret(given)?), None),
            Some(None) => {
                let made = Secret::new(signature::make_secret()?);
                (Some(made.clone()), Some(made))
            }
        };
        let overlap = SignedDuration::try_from(edit.overlap.unwrap_or(OVERLAP)).unwrap_or_default();
        let HookEdit { url, events, active, .. } = edit;
        let secret = secret.map(|secret| (secret, overlap));
        let state = store.change_hook(id, HookChange { url, events, active, secret }).await?;
        Ok(Changed { state, made })
    }

    /// Removes a hook; what waits for it is dropped.
    ///
    /// # Errors
    /// 404.
    pub async fn remove(&self, id: &str) -> Result<()> {
        self.0.store.remove_hook(id).await
    }

    /// Queues a delivery that says nothing but that it is a test. It is attempted once.
    ///
    /// # Errors
    /// 404; 409 when the hook is turned off or too much waits for it.
    pub async fn test(&self, id: &str) -> Result<Delivery> {
        let notice = Notice::new(TEST_EVENT, self.0.base.clock.now(), &json!({ "hook_id": id }));
        self.0.store.notify_hook(id, notice).await
    }

    /// Delivers anew what was delivered or given up, or at once what waits, under the same `webhook-id`.
    ///
    /// # Errors
    /// 404; 409 when the hook is turned off or too much waits for it.
    pub async fn replay(&self, id: &str, delivery: &str) -> Result<Delivery> {
        self.0.store.replay_delivery(id, delivery).await
    }

    /// Waits so long for attempts under way. What is cut off is tried again after the next start.
    pub async fn stop(&self, timeout: Duration) {
        let Work { base, stop, tasks, .. } = &*self.0;
        stop.cancel();
        tasks.close();
        tokio::select! {
            () = tasks.wait() => {}
            () = base.clock.sleep(timeout) => {
                tracing::info!("deliveries to hooks are cut off; the next start makes them again");
            }
        }
    }

    /// Gives a hook its worker, unless it has one.
    fn spawn(&self, hook: String) {
        let Work { base, store, egress, stop, tasks, .. } = &*self.0;
        if !self.workers().insert(hook.clone()) {
            return;
        }
        let (base, store, egress) = (base.clone(), store.clone(), egress.clone());
        let (queued, stop, hooks) = (store.deliveries_queued(), stop.clone(), self.clone());
        tasks.spawn(async move {
            DeliveryWorker { hook: hook.clone(), base, store, egress, queued, stop }.run().await;
            hooks.workers().remove(&hook);
        });
    }

    fn workers(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

fn checked_secret(secret: String) -> Result<Secret> {
    check_length("secret", &secret)?;
    Ok(Secret::new(secret))
}

fn check_events(events: &[String]) -> Result<()> {
    let known = || [ALL].into_iter().chain(Kind::ALL.iter().map(|kind| kind.name()));
    // A plugin that makes events of its own may be installed later.
    let is_own = |event: &str| {
        let kernels = |prefix: &str| Kind::names().iter().any(|kind| kind.split('.').next() == Some(prefix));
        event.split_once('.').is_some_and(|(plugin, name)| {
            !kernels(plugin) && is_name(plugin) && !name.is_empty() && name.split('.').all(is_name)
        })
    };
    let is_known = |event: &&String| known().any(|known| known == *event) || is_own(event);
    let message = match events.iter().find(|event| !is_known(event)) {
        Some(unknown) => format!("`events` has \"{unknown}\", which there is none of"),
        None if events.is_empty() => "`events` must not be empty".to_owned(),
        None => return Ok(()),
    };
    let known: Vec<_> = known().collect();
    let own = "and those of plugins, <plugin>.<name>";
    Err(Error::bad_request(format!("{message}; there are {}, {own}", known.join(", "))))
}

/// Whether a text is a plugin's name, or a part of the name of an event of its own.
fn is_name(text: &str) -> bool {
    let fits = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
    (1..=64).contains(&text.len()) && text.chars().all(fits)
}

fn check_length(name: &str, text: &str) -> Result<()> {
    if text.len() > MAX_TEXT {
        return Err(Error::bad_request(format!("`{name}` must not be longer than {MAX_TEXT} bytes")));
    }
    Ok(())
}
