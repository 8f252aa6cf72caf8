//! Jobs of plugins: which of their times are dealt with, the run that is under way, and how the last one ended. What a run
//! does takes effect with the note that it ended.

use jiff::Timestamp;
use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::actions::{self, Action};
use super::events;
use super::handle::Store;
use super::kept::Kept;
use super::rows::{Failure, Result, Rows};
use super::tx::Tx;
use prx_base::error::Error;
use prx_base::events::Kind;

/// By plugin and name.
const JOBS: Rows<(&str, &str), JobRecord> = Rows::new("jobs");

pub(super) const TABLES: &[&dyn Kept] = &[&JOBS];

/// What is kept of one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its plugin.
    pub plugin: String,
    /// Its name there.
    pub name: String,
    /// Its times up to this moment are dealt with.
    pub through: Timestamp,
    /// The run that is under way, or that a crash has cut off.
    pub running: Option<JobRun>,
    /// How the last one ended.
    pub last: Option<JobEnd>,
}

/// One run of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRun {
    /// `run_<ulid>`; the same where it is made once more after a crash.
    pub run_id: String,
    /// The time that it is for.
    pub due: Timestamp,
    /// When it was begun, the last time.
    pub started_at: Timestamp,
    /// How often it was begun; more than once where a crash has cut it off.
    pub attempt: u32,
    /// Somebody asked for it, beside its times.
    pub asked: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// The run.
    #[serde(flatten)]
    pub run: JobRun,
    /// When.
    pub ended_at: Timestamp,
    /// How many things it did.
    pub actions: usize,
    /// Why it failed, if it did; then it has done nothing.
    pub problem: Option<String>,
}

impl Store {
    /// What is kept of a job; none where it has never been noticed.
    pub fn job(&self, plugin: &str, name: &str) -> Result<Option<JobRecord>> {
        self.read(|snapshot| snapshot.get(&JOBS, (plugin, name)))
    }

    /// Takes notice of a job. Of one that is new, the times from now on count.
    pub async fn notice_job(&self, plugin: &str, name: &str) -> Result<JobRecord> {
        let (plugin, name) = (plugin.to_owned(), name.to_owned());
        self.write(move |tx| {
            if let Some(record) = tx.get(&JOBS, (&plugin, &name))? {
                return Ok(record);
            }
            let record = JobRecord { plugin, name, through: tx.now(), running: None, last: None };
            put(tx, &record)?;
            Ok(record)
        })
        .await
    }

    /// Lets the times of a job up to a moment pass.
    pub async fn skip_job(&self, plugin: &str, name: &str, through: Timestamp) -> Result<()> {
        let (plugin, name) = (plugin.to_owned(), name.to_owned());
        self.write(move |tx| match tx.get(&JOBS, (&plugin, &name))? {
            Some(record) => put(tx, &JobRecord { through, ..record }),
            None => Ok(()),
        })
        .await
    }

    /// Notes that a job is begun for the time that is due. One that a crash has cut off is begun once more, for the time and
    /// under the id that it had; `asked` says that somebody asks for it, beside its times.
    ///
    /// # Errors
    /// `not_found` for a job that was not noticed.
    pub async fn begin_job(&self, plugin: &str, name: &str, due: Timestamp, asked: bool) -> Result<JobRun> {
        let (plugin, name) = (plugin.to_owned(), name.to_owned());
        self.write(move |tx| {
            let record = tx.get(&JOBS, (&plugin, &name))?;
            let mut record: JobRecord = record.ok_or_else(|| Error::not_found("Job", &name))?;
            let run = match record.running.take() {
                Some(cut_off) => JobRun { attempt: cut_off.attempt + 1, started_at: tx.now(), ..cut_off },
                None => JobRun { run_id: tx.id("run"), due, started_at: tx.now(), attempt: 1, asked },
            };
            record.running = Some(run.clone());
            put(tx, &record)?;
            Ok(run)
        })
        .await
    }

    /// Notes how a run ended, with everything that it does; a failure is an event. None: it is not the one under way, and
    /// nothing of it is done.
    pub async fn finish_job(
        &self,
        plugin: &str,
        name: &str,
        run_id: &str,
        outcome: Result<Vec<Action>, String>,
    ) -> Result<Option<JobEnd>> {
        let (plugin, name, run_id) = (plugin.to_owned(), name.to_owned(), run_id.to_owned());
        self.write(move |tx| {
            let Some(mut record) = tx.get(&JOBS, (&plugin, &name))? else { return Ok(None) };
            let Some(run) = record.running.take().filter(|run| run.run_id == run_id) else { return Ok(None) };
            if !run.asked {
                record.through = record.through.max(run.due);
            }
            let (actions, problem) = match outcome {
                Ok(actions) => {
                    let count = actions.len();
                    actions::perform(tx, actions)?;
                    (count, None)
                }
                Err(problem) => {
                    let data = json!({ "plugin": plugin, "job": name, "reason": problem });
                    events::announce(tx, Kind::ErrorOccurred, data)?;
                    (0, Some(problem))
                }
            };
            let end = JobEnd { run, ended_at: tx.now(), actions, problem };
            record.last = Some(end.clone());
            put(tx, &record)?;
            Ok(Some(end))
        })
        .await
    }

    /// Forgets the jobs that are not to be kept.
    pub async fn forget_jobs(&self, keep: impl Fn(&str, &str) -> bool) -> Result<()> {
        let gone = self.read(|snapshot| {
            let mut gone = Vec::new();
            for entry in snapshot.open(JOBS.table())?.iter()? {
                let entry = entry?;
                let (plugin, name) = entry.0.value();
                if !keep(plugin, name) {
                    gone.push((plugin.to_owned(), name.to_owned()));
                }
            }
            Ok(gone)
        })?;
        if gone.is_empty() {
            return Ok(());
        }
        self.write(move |tx| gone.iter().try_for_each(|(plugin, name)| tx.remove(&JOBS, (plugin, name))))
            .await
    }
}

fn put(tx: &Tx<'_>, record: &JobRecord) -> Result<(), Failure> {
    tx.put(&JOBS, (&record.plugin, &record.name), record)
}
