//! Observers: each plugin that has one reads the log of events from where it left off, in batches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::actions;
use super::actors::Actors;
use super::lanes::Lanes;
use super::tasks;
use prx_base::Base;
use prx_base::config::fits;
use prx_base::error::Result;
use prx_base::issue::{Issue, IssueKind};
use prx_host::bindings::observer::Happening;
use prx_host::{Filters, Generation, Plugins};
use prx_store::{LoggedEvent, ObserverRecord, Store};

/// Events of one call, at most.
const MAX_BATCH: usize = 64;
/// Bytes of them, at most; a single event may be larger.
const MAX_BATCH_BYTES: usize = 256 << 10;
/// Events that are looked at in one go.
const PAGE: usize = 500;
/// Events of no interest after which it is noted how far it has come.
const SKIPPED: u64 = 10_000;
/// How long it rests between two calls: what plugins tell each other by events, they tell each other at this pace.
const REST: Duration = Duration::from_millis(50);
/// How long it waits after a failure; each one in a row doubles that, up to the second.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How long it is said that events were lost: a day.
const SAID_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A cheap-clone handle to the observers of all plugins.
#[derive(Clone)]
pub struct Observers(Arc<Work>);

struct Work {
    base: Base,
    store: Store,
    plugins: Plugins,
    filters: Filters,
    lanes: Lanes,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// By plugin, for those that have a reader. The lock is never held across an await.
    readers: Mutex<HashMap<String, Trouble>>,
}

/// What is wrong with one.
#[derive(Debug, Clone, Default)]
struct Trouble {
    /// Failures in a row.
    failures: u32,
    /// Why the last call failed.
    problem: Option<String>,
}

/// How reading on went.
enum Read {
    /// There may be more.
    On,
    /// It has read everything there is.
    All,
    /// Its call failed.
    Failed(String),
}

/// Where a reader is.
#[derive(Debug, Clone, Copy)]
struct Position {
    /// The last event that is dealt with.
    seen: u64,
    /// How many were gone before it came to them, and are not counted yet.
    lost: u64,
    /// The last event of which is noted that it is dealt with.
    noted: u64,
}

impl Position {
    fn of(record: &ObserverRecord) -> Self {
        Self { seen: record.seen, lost: 0, noted: record.seen }
    }
}

impl Observers {
    /// Tells observers what happens from now on, and what they have not dealt with before.
    pub fn start(base: Base, store: Store, actors: Actors) -> Self {
        let (stop, tasks, readers) = (CancellationToken::new(), TaskTracker::new(), Mutex::default());
        let Actors { plugins, filters, lanes } = actors;
        let observers = Self(Arc::new(Work { base, store, plugins, filters, lanes, stop, tasks, readers }));
        observers.0.tasks.spawn(observers.clone().follow_plugins());
        observers
    }

    /// What is wrong with observers.
    pub fn issues(&self) -> Vec<Issue> {
        let Work { base, store, .. } = &*self.0;
        let mut issues = Vec::new();
        let readers = self.readers().clone();
        for (plugin, trouble) in readers {
            if let Some(problem) = trouble.problem {
                let times = trouble.failures;
                let problem =
                    format!("the observer of plugin {plugin} failed {times} times in a row: {problem}");
                let fix =
                    "mend what it says; the same events are told again, and none is lost that the log keeps";
                issues.push(Issue::new(IssueKind::Observer, problem, fix));
            }
            let record = store.observer(&plugin).ok().flatten();
            if let Some(ObserverRecord { lost, lost_at: Some(at), .. }) = record
                && base.clock.now() < at + SAID_FOR
            {
                let problem = format!(
                    "the observer of plugin {plugin} was too far behind and has missed {lost} events"
                );
                let fix = "find out why it was slow or down; it goes on with the oldest event that there is";
                issues.push(Issue::new(IssueKind::Observer, problem, fix));
            }
        }
        issues
    }

    /// Waits so long for calls under way. What is cut off is told again by the next start.
    pub async fn stop(&self, limit: Duration) {
        let Work { base, stop, tasks, .. } = &*self.0;
        if !tasks::end(tasks, stop, &base.clock, limit).await {
            info!("observers are cut off; the next start tells them again");
        }
    }

    /// Sets a reader to each plugin that has an observer, until the gateway stops.
    async fn follow_plugins(self) {
        let Work { store, plugins, stop, tasks, .. } = &*self.0;
        let mut changed = plugins.changed();
        loop {
            let listed = plugins.list();
            let is_there = |name: &str| listed.iter().any(|plugin| plugin.name == name);
            if let Err(error) = store.forget_observers(is_there).await {
                warn!(%error, "observers of removed plugins are not forgotten yet");
            }
            for standing in plugins.standings() {
                let plugin = standing.manifest.plugin.name.clone();
                let observes =
                    standing.serving.is_some_and(|generation| generation.description.observes.is_some());
                if observes && self.enlist(&plugin) {
                    tasks.spawn(self.clone().read_on(plugin));
                }
            }
            match stop.run_until_cancelled(changed.changed()).await {
                Some(Ok(())) => {}
                _ => return,
            }
        }
    }

    /// Whether a plugin had no reader; it has one from now on.
    fn enlist(&self, plugin: &str) -> bool {
        let mut readers = self.readers();
        let is_new = !readers.contains_key(plugin);
        readers.entry(plugin.to_owned()).or_default();
        is_new
    }

    /// Reads the log for a plugin, as long as that serves.
    async fn read_on(self, plugin: String) {
        loop {
            self.read_while_serving(&plugin).await;
            self.readers().remove(&plugin);
            // It may have come back before that was seen here, and nobody else has taken it up then.
            if self.0.stop.is_cancelled() || self.observing(&plugin).is_none() || !self.enlist(&plugin) {
                return;
            }
        }
    }

    async fn read_while_serving(&self, plugin: &str) {
        let Work { base, plugins, stop, .. } = &*self.0;
        let (mut happens, mut changed) = (base.events.subscribe(), plugins.changed());
        let mut position = None;
        while let Some(generation) = self.observing(plugin) {
            // What was heard of before the log is read is in it.
            happens = happens.resubscribe();
            let told = self.tell(&generation, &mut position).await;
            let rest = match told {
                Ok(Read::On) => self.note(plugin, None, |_| REST),
                Ok(Read::All) => {
                    tokio::select! {
                        _ = happens.recv() => {}
                        Ok(()) = changed.changed() => {}
                        () = stop.cancelled() => return,
                    }
                    REST
                }
                Ok(Read::Failed(problem)) => {
                    warn!(plugin, "an observer failed: {problem}");
                    self.note(plugin, Some(problem), wait_after)
                }
                Err(error) => {
                    warn!(plugin, %error, "an observer waits for the store");
                    position = None;
                    FIRST_WAIT
                }
            };
            tokio::select! {
                () = base.clock.sleep(rest) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// The code of a plugin that has an observer, while it serves.
    fn observing(&self, plugin: &str) -> Option<Arc<Generation>> {
        self.0.plugins.serving(plugin).filter(|generation| generation.description.observes.is_some())
    }

    /// Notes whether a call failed, and returns the wait that follows so many failures in a row.
    fn note(&self, plugin: &str, problem: Option<String>, wait: impl Fn(u32) -> Duration) -> Duration {
        let mut readers = self.readers();
        let trouble = readers.entry(plugin.to_owned()).or_default();
        trouble.failures = if problem.is_some() { trouble.failures + 1 } else { 0 };
        trouble.problem = problem;
        wait(trouble.failures)
    }

    /// Tells a plugin of the next events behind its position, which is read where it is not known.
    async fn tell(&self, generation: &Arc<Generation>, position: &mut Option<Position>) -> Result<Read> {
        let Work { base, store, plugins, filters, lanes, .. } = &*self.0;
        let plugin = generation.name();
        let at = match position {
            Some(at) => at,
            None => position.insert(Position::of(&store.notice_observer(plugin).await?)),
        };
        let page = store.events_after(at.seen, PAGE)?;
        let Some(last) = page.events.last().map(|event| event.seq) else { return Ok(Read::All) };
        if page.lost > 0 {
            warn!(plugin, lost = page.lost, "an observer was too far behind and has missed events");
        }
        let failures = self.readers().get(plugin).map_or(0, |trouble| trouble.failures);
        let (batch, through) = batch(generation, page.events, if failures > 0 { 1 } else { MAX_BATCH });
        let next = Position { seen: through.unwrap_or(last), lost: at.lost + page.lost, noted: at.noted };
        if batch.is_empty() && next.lost == 0 && next.seen - next.noted < SKIPPED {
            // What is of no interest need not be noted: it is skipped again after a restart.
            *at = next;
            return Ok(Read::On);
        }
        let mut actions = Vec::new();
        let _lane = lanes.enter(plugin).await;
        if !batch.is_empty() {
            let answer = generation.code.observe(&batch).await;
            plugins.report(generation, answer.as_ref().map(drop));
            let config = base.config.current();
            let asked = answer.map_err(|error| error.to_string());
            actions = match asked.and_then(|asked| actions::admit(generation, &config, asked)) {
                Ok(actions) => actions::filtered(filters, plugin, actions).await,
                Err(problem) => return Ok(Read::Failed(problem)),
            };
        }
        // Where it was forgotten meanwhile, for its plugin was removed and is back, it begins anew.
        let noted = store.advance_observer(plugin, next.seen, next.lost, actions).await?;
        *position = noted.then_some(Position { seen: next.seen, lost: 0, noted: next.seen });
        Ok(Read::On)
    }

    fn readers(&self) -> MutexGuard<'_, HashMap<String, Trouble>> {
        self.0.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first events that a plugin is told of in one call, and the number of the last one that is dealt with then; none: all.
fn batch(generation: &Generation, events: Vec<LoggedEvent>, most: usize) -> (Vec<Happening>, Option<u64>) {
    let (mut batch, mut bytes, mut through) = (Vec::new(), 0, 0);
    for event in events {
        if wanted(generation, &event) {
            let data = event.data.to_string();
            bytes += event.name.len() + data.len();
            if !batch.is_empty() && (batch.len() == most || bytes > MAX_BATCH_BYTES) {
                return (batch, Some(through));
            }
            let at = u64::try_from(event.at.as_millisecond()).unwrap_or(0);
            batch.push(Happening { seq: event.seq, kind: event.name, at, data });
        }
        through = event.seq;
    }
    (batch, None)
}

/// Whether a plugin is told of an event: it wants it, may see it, and has not itself brought it about.
fn wanted(generation: &Generation, event: &LoggedEvent) -> bool {
    let plugin = generation.name();
    let own = event.name.split_once('.').is_some_and(|(first, _)| first == plugin);
    let began = event.data["begun_by"] == plugin;
    let kinds = generation.description.observes.as_deref().unwrap_or_default();
    !own && !began
        && kinds.iter().any(|kind| fits(kind, &event.name))
        && generation.rights.may_see(&event.name)
}

/// How long is waited after so many failures in a row.
fn wait_after(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_WAIT)
}
