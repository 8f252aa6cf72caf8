//! The context window of each model: what the operator set, what was learned where a provider refused a conversation for
//! its length, and what its server says in its list of models.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::debug;

use prx_base::Base;
use prx_base::clock::Clock;
use prx_base::config::{Config, ModelSettings};
use prx_host::Plugins;
use prx_host::bindings::provider as wire;

/// Most models of which something learned is kept, the ones that were learned of last.
const MAX_LEARNED: usize = 256;
/// Most tokens of a window that are left to the answer where nobody says how long that becomes.
const MAX_ANSWER_TOKENS: u64 = 4096;

/// Most models of a provider's list whose windows are kept.
const MAX_LISTED: usize = 5000;
/// A list is asked for again after this time, and when the configuration has changed.
const LIST_INTERVAL: Duration = Duration::from_hours(6);
/// Before each attempt at a list. Each wait is some five times the one before.
const LIST_BACKOFF: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(11), Duration::from_mins(1)];
/// The longest wait that a server may ask for in between.
const MAX_LIST_WAIT: Duration = Duration::from_mins(10);

/// What was learned of models. A cheap-clone handle; the locks are held to look or to note, never across an await.
#[derive(Debug, Clone, Default)]
pub(super) struct Windows {
    learned: Arc<Mutex<VecDeque<Learned>>>,
    /// By provider.
    lists: Arc<Mutex<HashMap<String, List>>>,
}

/// What a provider's server has said of its models.
#[derive(Debug, Default)]
struct List {
    /// When it is to be asked again, in milliseconds of the clock.
    due: u64,
    /// The configuration under which it was asked.
    config: Option<Arc<Config>>,
    windows: HashMap<String, u64>,
}

/// What a refusal has told of a model.
#[derive(Debug, Clone)]
struct Learned {
    provider: String,
    model: String,
    /// The window that the provider named.
    window: u64,
}

/// What a request may cost, by estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// What the operator allows; 0: any number. A request that needs more is not sent.
    pub(super) allowed: u64,
    /// What all tools may take half of; 0: any number.
    pub(super) with_tools: u64,
}

impl Windows {
    /// What a request to a model may cost.
    pub(super) fn limit(&self, config: &Config, provider: &str, model: &str) -> Limit {
        let set = config.components.model(provider, model);
        let of_window = set.window.map(|window| without_answer(window, set));
        let bounds = [Some(config.agent.max_context_tokens), of_window].into_iter().flatten();
        let allowed = bounds.filter(|tokens| *tokens > 0).min().unwrap_or(0);
        let named = self.learned(provider, model).unwrap_or(0);
        Limit { allowed, with_tools: lower(allowed, named) }
    }

    /// How large a model's window is: as the operator says, as was learned, or as its server says; at most what the
    /// operator allows.
    pub(super) fn window(&self, config: &Config, provider: &str, model: &str) -> Option<u64> {
        let set = config.components.model(provider, model).window;
        let told = set.or_else(|| self.learned(provider, model)).or_else(|| self.listed(provider, model));
        let allowed = Some(config.agent.max_context_tokens).filter(|tokens| *tokens > 0);
        [told, allowed].into_iter().flatten().min()
    }

    /// Has a provider that answers asked for its list of models, if that is due. Nobody waits for it.
    pub(super) fn look_up(&self, base: &Base, plugins: &Plugins, provider: &str) {
        let config = base.config.current();
        {
            let mut lists = self.lists();
            let list = lists.entry(provider.to_owned()).or_default();
            let is_of_it = list.config.as_ref().is_some_and(|known| Arc::ptr_eq(known, &config));
            if is_of_it && base.clock.now_ms() < list.due {
                return;
            }
            *list = List {
                due: after(&base.clock, LIST_INTERVAL),
                config: Some(config),
                windows: std::mem::take(&mut list.windows),
            };
        }
        let (windows, clock, plugins) = (self.clone(), base.clock.clone(), plugins.clone());
        let provider = provider.to_owned();
        tokio::spawn(async move {
            for wait in LIST_BACKOFF {
                clock.sleep(wait).await;
                match plugins.list_models(&provider).await {
                    Ok(Ok(models)) => return windows.heard(&provider, models),
                    Ok(Err(refused)) if refused.retryable => {
                        debug!(provider, "its models are not known yet: {}", refused.fault.message);
                        let asked = refused.retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
                        clock.sleep(asked.unwrap_or_default().min(MAX_LIST_WAIT)).await;
                    }
                    Ok(Err(refused)) => {
                        return debug!(provider, "its models are not known: {}", refused.fault.message);
                    }
                    Err(failure) => return debug!(provider, "its models are not known: {failure}"),
                }
            }
        });
    }

    fn heard(&self, provider: &str, models: Vec<wire::ModelInfo>) {
        let said = models.into_iter().take(MAX_LISTED);
        let said = said.filter_map(|model| Some((model.id, model.window.filter(|most| *most > 0)?)));
        self.lists().entry(provider.to_owned()).or_default().windows = said.collect();
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<String, List>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listed(&self, provider: &str, model: &str) -> Option<u64> {
        self.lists().get(provider)?.windows.get(model).copied()
    }

    /// The window that a provider named when it refused a conversation.
    pub(super) fn learned(&self, provider: &str, model: &str) -> Option<u64> {
        self.lock().iter().find(|known| known.is_of(provider, model)).map(|known| known.window)
    }

    /// Notes the window that a provider has named.
    pub(super) fn named(&self, provider: &str, model: &str, window: u64) {
        let mut all = self.lock();
        all.retain(|known| !known.is_of(provider, model));
        if all.len() >= MAX_LEARNED {
            all.pop_front();
        }
        all.push_back(Learned { provider: provider.to_owned(), model: model.to_owned(), window });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Learned>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Learned {
    fn is_of(&self, provider: &str, model: &str) -> bool {
        self.provider == provider && self.model == model
    }
}

fn after(clock: &Clock, time: Duration) -> u64 {
    clock.now_ms().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// The lower of two bounds; 0 is none.
fn lower(one: u64, other: u64) -> u64 {
    [one, other].into_iter().filter(|tokens| *tokens > 0).min().unwrap_or(0)
}

/// What of a window is left beside the answer.
fn without_answer(window: u64, set: ModelSettings) -> u64 {
    let answer =
        set.max_output.map_or((window / 8).min(MAX_ANSWER_TOKENS), |longest| longest.min(window / 2));
    (window - answer).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_window_that_was_named_counts() {
        let windows = Windows::default();
        let learned = |model| windows.learned("near", model);
        windows.named("near", "one", 8000);
        windows.named("near", "one", 4000);
        assert_eq!(
            (learned("one"), learned("other"), windows.learned("far", "one")),
            (Some(4000), None, None)
        );
        let limit = |provider| windows.limit(&Config::default(), provider, "one");
        assert_eq!(limit("near"), Limit { allowed: 100_000, with_tools: 4000 });
        assert_eq!(limit("far"), Limit { allowed: 100_000, with_tools: 100_000 });
        for n in 0..MAX_LEARNED {
            windows.named("near", &n.to_string(), 8000);
        }
        assert_eq!(learned("one"), None, "only so many are kept");
    }

    #[test]
    fn what_is_set_is_the_bound() {
        let models =
            serde_json::json!({"small": {"window": 8000}, "long": {"window": 8000, "max_output": 6000}});
        let mut config = Config::default();
        config
            .components
            .providers_config
            .insert("near".into(), serde_json::Map::from_iter([("models".into(), models)]));
        let windows = Windows::default();
        let allowed = |model| windows.limit(&config, "near", model).allowed;
        assert_eq!(["small", "long", "other"].map(allowed), [7000, 4000, 100_000]);
    }
}
