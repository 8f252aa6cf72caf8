//! Jobs of plugins.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::gateway::Gateway;
use prx_background::JobStatus;
use prx_base::clock::rfc3339;
use prx_base::error::{Code, Result};
use prx_http::{Call, Doc, Reply};
use prx_store::{JobEnd, JobRun};

#[derive(Serialize, JsonSchema)]
struct Jobs {
    /// In which the times of all jobs are.
    time_zone: String,
    jobs: Vec<Job>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Job")]
struct Job {
    plugin: String,
    name: String,
    /// Its times: minute, hour, day of the month, month, day of the week.
    cron: String,
    /// None while its plugin does not serve.
    next_run_at: Option<String>,
    running: Option<Run>,
    last_run: Option<Ended>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JobRun")]
struct Run {
    /// The same where the run is made once more after a crash.
    run_id: String,
    /// The time that it is for.
    due: String,
    started_at: String,
    attempt: u32,
    /// Somebody asked for it, beside its times.
    asked: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JobEnd")]
struct Ended {
    #[serde(flatten)]
    run: Run,
    ended_at: String,
    status: Outcome,
    /// How many things it did.
    actions: usize,
    /// Why it failed; it has done nothing then.
    problem: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "JobOutcome")]
enum Outcome {
    Done,
    Failed,
}

impl From<JobRun> for Run {
    fn from(run: JobRun) -> Self {
        let JobRun { run_id, due, started_at, attempt, asked } = run;
        Self { run_id, due: rfc3339(due), started_at: rfc3339(started_at), attempt, asked }
    }
}

impl From<JobEnd> for Ended {
    fn from(end: JobEnd) -> Self {
        let JobEnd { run, ended_at, actions, problem } = end;
        let status = if problem.is_some() { Outcome::Failed } else { Outcome::Done };
        Self { run: run.into(), ended_at: rfc3339(ended_at), status, actions, problem }
    }
}

impl From<JobStatus> for Job {
    fn from(job: JobStatus) -> Self {
        let JobStatus { plugin, name, cron, next_run_at, running, last_run } = job;
        let next_run_at = next_run_at.map(rfc3339);
        Self {
            plugin,
            name,
            cron,
            next_run_at,
            running: running.map(Run::from),
            last_run: last_run.map(Ended::from),
        }
    }
}

pub(super) const LIST: Doc = Doc::new("List jobs").answers::<Jobs>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let time_zone = gateway.base.config.current().jobs.time_zone.clone();
    let jobs = gateway.jobs.list()?.into_iter().map(Job::from).collect();
    Reply::ok(&Jobs { time_zone, jobs })
}

pub(super) const RUN: Doc = Doc::new("Run a job now, and wait for its end")
    .answers::<Ended>(&[200])
    .fails(&[Code::NotFound, Code::Conflict, Code::Unavailable]);

pub(super) async fn run(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let (plugin, name) = (call.param("plugin"), call.param("name"));
    let end = gateway.jobs.run(plugin, name).await?;
    let (job, outcome) =
        (format!("{plugin}/{name}"), json!({ "run_id": end.run.run_id, "problem": end.problem }));
    Ok(Reply::ok(&Ended::from(end))?.noting(&job, outcome))
}
