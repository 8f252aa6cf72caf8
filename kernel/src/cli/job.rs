//! `prx job`

use serde_json::{Value, json};

use super::client::path;
use super::failure::Failure;
use super::output::{Console, fields, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List what plugins do at set times, and how it went the last time
    List,
    /// Run a job now, beside its times, and wait for its end; fails where it does
    Run {
        /// The plugin's name
        plugin: String,
        /// The job's name
        name: String,
    },
}

const COLUMNS: [&str; 7] = ["plugin", "name", "cron", "next_run_at", "running", "last_run", "problem"];

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = console.gateway.get("/api/v1/jobs").await?;
            console.show(&answer, |answer| table(&rows(&answer["jobs"]), &COLUMNS))
        }
        Command::Run { plugin, name } => {
            let answer = console.gateway.post(&path(&["jobs", &plugin, &name, "run"]), json!({})).await?;
            console.show(&answer, fields)?;
            match answer["problem"].as_str() {
                Some(problem) => {
                    Err(Failure::new(format!("job {name} of plugin {plugin} failed: {problem}")))
                }
                None => Ok(()),
            }
        }
    }
}

/// A line a job: of the runs, when they began.
fn rows(jobs: &Value) -> Value {
    let row = |job: &Value| {
        let mut row = job.clone();
        row["running"] = job["running"]["started_at"].clone();
        row["last_run"] = job["last_run"]["started_at"].clone();
        row["problem"] = job["last_run"]["problem"].clone();
        row
    };
    jobs.as_array().into_iter().flatten().map(row).collect()
}
