//! Jobs: run at their times, and when somebody asks for it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::actions;
use super::actors::Actors;
use super::lanes::Lanes;
use super::tasks;
use prx_base::Base;
use prx_base::error::{Code, Error, Result};
use prx_base::issue::{Issue, IssueKind};
use prx_host::manifest::Schedule;
use prx_host::{Filters, Generation, Plugins, Standing, Status};
use prx_store::{JobEnd, JobRun, Store};

/// How long nobody looks at the clock, at most: it may be set.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How often a run is begun that a crash cuts off each time.
const MAX_ATTEMPTS: u32 = 3;

/// A cheap-clone handle to the jobs of all plugins.
#[derive(Clone)]
pub struct Jobs(Arc<Work>);

struct Work {
    base: Base,
    store: Store,
    plugins: Plugins,
    filters: Filters,
    lanes: Lanes,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// A run has ended.
    ended: Notify,
    /// By plugin: the job of it that is being run. The lock is never held across an await.
    under_way: Mutex<HashMap<String, String>>,
}

/// A job and how it stands.
#[derive(Debug, Clone)]
pub struct JobStatus {
    /// Its plugin.
    pub plugin: String,
    /// Its name there.
    pub name: String,
    /// Its times, as the manifest has them.
    pub cron: String,
    /// The next of them; none while its plugin does not serve.
    pub next_run_at: Option<Timestamp>,
    /// The run that is under way.
    pub running: Option<JobRun>,
    /// How the last one ended.
    pub last_run: Option<JobEnd>,
}

/// A plugin's turn to run a job. Dropping it gives others theirs.
struct Claim {
    jobs: Jobs,
    plugin: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.jobs.under_way().remove(&self.plugin);
        self.jobs.0.ended.notify_one();
    }
}

impl Jobs {
    /// Runs jobs from now on: first those that a crash has cut off, and those whose time has passed.
    pub fn start(base: Base, store: Store, actors: Actors) -> Self {
        let Actors { plugins, filters, lanes } = actors;
        let jobs = Self(Arc::new(Work {
            base,
            store,
            plugins,
            filters,
            lanes,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            ended: Notify::new(),
            under_way: Mutex::default(),
        }));
        let work = jobs.clone();
        let stop = jobs.0.stop.clone();
        jobs.0.tasks.spawn(async move { stop.run_until_cancelled(work.follow_clock()).await });
        jobs
    }

    /// Every job, by plugin, in the order of their manifests.
    ///
    /// # Errors
    /// The store has failed.
    pub fn list(&self) -> Result<Vec<JobStatus>> {
        let Work { base, store, plugins, .. } = &*self.0;
        let (zone, now) = (base.config.current().jobs.zone(), base.clock.now());
        let mut listed = Vec::new();
        for Standing { manifest, serving, .. } in plugins.standings() {
            let plugin = &manifest.plugin.name;
            for Schedule { name, cron } in manifest.schedules() {
                let record = store.job(plugin, name)?;
                let (running, last_run) =
                    record.map(|record| (record.running, record.last)).unwrap_or_default();
                listed.push(JobStatus {
                    plugin: plugin.clone(),
                    name: name.clone(),
                    cron: cron.as_str().to_owned(),
                    next_run_at: cron.after(now, &zone).filter(|_| serving.is_some()),
                    running,
                    last_run,
                });
            }
        }
        Ok(listed)
    }

    /// The jobs whose last run failed.
    pub fn issues(&self) -> Vec<Issue> {
        let failed = self.list().unwrap_or_default().into_iter().filter_map(|job| {
            let JobStatus { plugin, name, next_run_at, last_run, .. } = job;
            let problem =
                format!("job {name} of plugin {plugin} failed the last time: {}", last_run?.problem?);
            let next = next_run_at.map_or_else(String::new, |at| format!("it runs again at {at}; "));
            let fix = format!("mend what it says; {next}`prx job run {plugin} {name}` runs it at once");
            Some(Issue::new(IssueKind::Job, problem, fix))
        });
        failed.collect()
    }

    /// Runs a job now, beside its times, and waits for its end. It goes on where nobody waits for it any more.
    ///
    /// # Errors
    /// `not_found`; `conflict` while its plugin runs a job; `unavailable` while its plugin does not serve.
    pub async fn run(&self, plugin: &str, name: &str) -> Result<JobEnd> {
        let Work { base, store, plugins, tasks, .. } = &*self.0;
        let has_it = |known: &Standing| {
            known.manifest.plugin.name == plugin && known.manifest.schedules().any(|job| job.name == name)
        };
        let known = plugins.standings().into_iter().find(has_it);
        let known = known.ok_or_else(|| Error::not_found("Job", &format!("{plugin}/{name}")))?;
        let generation = known.serving.ok_or_else(|| {
            let message = format!("Plugin {plugin} does not serve; see `prx plugin show {plugin}`");
            Error::new(Code::Unavailable, message)
        })?;
        let claim = self.claim(plugin, name).map_err(|other| {
            Error::conflict(format!(
                "Plugin {plugin} is running its job {other}; try again when that has ended"
            ))
        })?;
        store.notice_job(plugin, name).await?;
        let (jobs, now) = (self.clone(), base.clock.now());
        let (plugin, name) = (plugin.to_owned(), name.to_owned());
        let run = tasks.spawn(async move {
            let ended = jobs.execute(&generation, &name, now, true).await;
            drop(claim);
            ended.map(|ended| ended.ok_or_else(|| Error::not_found("Job", &format!("{plugin}/{name}"))))
        });
        run.await.map_err(Error::internal)??
    }

    /// Waits so long for runs under way. What is cut off is run again by the next start.
    pub async fn stop(&self, limit: Duration) {
        let Work { base, stop, tasks, .. } = &*self.0;
        if !tasks::end(tasks, stop, &base.clock, limit).await {
            info!("jobs are cut off; the next start runs them again");
        }
    }

    /// Begins what is due, until it is dropped.
    async fn follow_clock(self) {
        let Work { base, store, plugins, ended, .. } = &*self.0;
        let (mut config, mut changed) = (base.config.subscribe(), plugins.changed());
        let mut reopened = store.reopened();
        loop {
            let rest = match self.begin_due().await {
                Ok(rest) => rest,
                Err(error) => {
                    warn!(%error, "jobs wait for the store");
                    LONGEST_REST
                }
            };
            tokio::select! {
                () = base.clock.sleep(rest) => {}
                () = ended.notified() => {}
                Ok(()) = config.changed() => {}
                Ok(()) = changed.changed() => self.forget_removed().await,
                Ok(()) = reopened.changed() => {}
            }
        }
    }

    /// Begins the jobs whose time has come, and says how long it is until the next one's.
    async fn begin_due(&self) -> Result<Duration> {
        let Work { base, plugins, .. } = &*self.0;
        let zone = base.config.current().jobs.zone();
        let mut next = base.clock.now().checked_add(LONGEST_REST).unwrap_or(Timestamp::MAX);
        for plugin in plugins.standings() {
            for schedule in plugin.manifest.schedules() {
                self.look_at(&plugin, schedule, &zone).await?;
                next = schedule.cron.after(base.clock.now(), &zone).map_or(next, |at| next.min(at));
            }
        }
        let rest = next.duration_since(base.clock.now()).max(SignedDuration::ZERO);
        Ok(rest.try_into().unwrap_or(LONGEST_REST))
    }

    /// Begins a job, where one of its times has passed or a crash has cut it off. While its plugin is disabled, times
    /// pass without it.
    async fn look_at(&self, standing: &Standing, schedule: &Schedule, zone: &TimeZone) -> Result<()> {
        let Work { base, store, tasks, .. } = &*self.0;
        let (plugin, name) = (standing.manifest.plugin.name.as_str(), schedule.name.as_str());
        let record = match store.job(plugin, name)? {
            Some(record) => record,
            None => store.notice_job(plugin, name).await?,
        };
        let now = base.clock.now();
        let passed = schedule.cron.until(now, zone).filter(|passed| *passed > record.through);
        let disabled = standing.status == Status::Disabled;
        if record.through > now || (disabled && passed.is_some()) {
            // The clock was ahead once, or nobody wants what was due.
            return store.skip_job(plugin, name, now).await;
        }
        let due = match (&record.running, passed) {
            (Some(cut_off), _) => cut_off.due,
            (None, Some(due)) => due,
            (None, None) => return Ok(()),
        };
        let Some(generation) = standing.serving.clone() else { return Ok(()) };
        // Where the plugin runs a job, the end of that brings it here again.
        let Ok(claim) = self.claim(plugin, name) else { return Ok(()) };
        let (jobs, name) = (self.clone(), name.to_owned());
        tasks.spawn(async move {
            if let Err(error) = jobs.execute(&generation, &name, due, false).await {
                warn!(plugin = generation.name(), job = name, %error, "a job waits for the store");
            }
            drop(claim);
        });
        Ok(())
    }

    /// Runs a job, or the run of it that a crash has cut off, and notes how it ended. None: it was forgotten meanwhile.
    async fn execute(
        &self,
        generation: &Arc<Generation>,
        name: &str,
        due: Timestamp,
        asked: bool,
    ) -> Result<Option<JobEnd>> {
        let Work { base, store, plugins, filters, lanes, .. } = &*self.0;
        let plugin = generation.name();
        let _lane = lanes.enter(plugin).await;
        let run = store.begin_job(plugin, name, due, asked).await?;
        info!(plugin, job = name, run = run.run_id, attempt = run.attempt, "a job begins");
        let outcome = if run.attempt > MAX_ATTEMPTS {
            Err(format!("given up: the gateway ended in the middle of it {MAX_ATTEMPTS} times"))
        } else {
            let due_ms = u64::try_from(run.due.as_millisecond()).unwrap_or(0);
            let answer = generation.code.run_job(name, due_ms, &run.run_id).await;
            plugins.report(generation, answer.as_ref().map(drop));
            let config = base.config.current();
            let asked = answer.map_err(|error| error.to_string());
            match asked.and_then(|asked| actions::admit(generation, &config, asked)) {
                Ok(actions) => Ok(actions::filtered(filters, plugin, actions).await),
                Err(problem) => Err(problem),
            }
        };
        let ended = store.finish_job(plugin, name, &run.run_id, outcome).await?;
        match ended.as_ref().map(|ended| (&ended.problem, ended.actions)) {
            Some((Some(problem), _)) => {
                warn!(plugin, job = name, run = run.run_id, "a job failed: {problem}")
            }
            Some((None, actions)) => info!(plugin, job = name, run = run.run_id, actions, "a job ended"),
            None => {}
        }
        Ok(ended)
    }

    /// Forgets the jobs that no plugin has any more, so that they begin anew where they come back. A plugin whose
    /// manifest can't be read now may be mended.
    async fn forget_removed(&self) {
        let Work { store, plugins, .. } = &*self.0;
        let known: BTreeSet<String> = plugins.list().into_iter().map(|plugin| plugin.name).collect();
        let of = |standing: Standing| {
            let names = standing.manifest.schedules().map(|schedule| schedule.name.clone()).collect();
            (standing.manifest.plugin.name.clone(), names)
        };
        let read: HashMap<String, BTreeSet<String>> = plugins.standings().into_iter().map(of).collect();
        let keep = move |plugin: &str, name: &str| match read.get(plugin) {
            Some(names) => names.contains(name),
            None => known.contains(plugin),
        };
        if let Err(error) = store.forget_jobs(keep).await {
            warn!(%error, "jobs of removed plugins are not forgotten yet");
        }
    }

    /// A plugin's turn to run a job.
    ///
    /// # Errors
    /// It runs one already: which.
    fn claim(&self, plugin: &str, name: &str) -> Result<Claim, String> {
        let mut under_way = self.under_way();
        match under_way.get(plugin) {
            Some(other) => Err(other.clone()),
            None => {
                under_way.insert(plugin.to_owned(), name.to_owned());
                Ok(Claim { jobs: self.clone(), plugin: plugin.to_owned() })
            }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
