//! `prx plugin test`: a component in the real host, with what it asks for granted.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgGroup;
use serde_json::{Value, json};

use super::calls::{self, FilterStage};
use super::canned::Canned;
use super::scratch::Scratch;
use super::{route, talk};
use crate::cli::failure::Failure;
use crate::cli::output::{Console, bytes, fields, note};
use prx_base::clock;
use prx_base::config::{self, Settings};
use prx_base::logs::{Format, Logs};
use prx_host::{Compiler, DryRun};

/// How long the last of its lines may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("tried").args([
    "call", "skill", "job", "request", "stage", "event", "ask", "transcript",
])))]
pub(crate) struct Test {
    /// The component
    file: PathBuf,
    /// Call this tool of it
    #[arg(long, value_name = "TOOL")]
    call: Option<String>,
    /// The tool's arguments, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "call")]
    arguments: String,
    /// Bring in this skill of it
    #[arg(long, value_name = "SKILL")]
    skill: Option<String>,
    /// Run this job of it
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Have its routes answer this, such as "GET /"
    #[arg(long, value_name = "REQUEST")]
    request: Option<String>,
    /// The body of that request
    #[arg(long, value_name = "TEXT", default_value = "", requires = "request")]
    body: String,
    /// Ask its filter at this stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<FilterStage>,
    /// What the skill or the filter is told: a text, or for a call its arguments, a JSON object
    #[arg(long, value_name = "TEXT", default_value = "")]
    text: String,
    /// Tell its observer that an event of this kind has happened, such as message.sent
    #[arg(long, value_name = "KIND")]
    event: Option<String>,
    /// What is known of the event, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "event")]
    data: String,
    /// Have its provider answer this
    #[arg(long, value_name = "TEXT")]
    ask: Option<String>,
    /// The model that is asked
    #[arg(long, value_name = "MODEL", default_value = "", requires = "ask")]
    model: String,
    /// What a server answers its requests with, in order: a JSON list of {"status": 200, "body": …}. The server is where
    /// `{server}` in --settings stands
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Give its connector or agent the events in this file, and hold what it wants against the file: a JSON list of
    /// {"events": […], "commands": […]}
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,
    /// Its configuration, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    settings: String,
}

/// Loads a component as a gateway would, with everything that it asks for granted, and calls it if asked to. Its lines, and
/// what it cost, go to standard error.
pub(crate) async fn test(console: &Console, arguments: Test) -> Result<(), Failure> {
    let canned = match &arguments.answers {
        Some(file) => Some(Canned::start(file).await?),
        None => None,
    };
    let settings = match &canned {
        Some(canned) => arguments.settings.replace("{server}", &canned.url()),
        None => arguments.settings.clone(),
    };
    let settings: Settings = object("--settings", &settings)?;
    let component = fs::read(&arguments.file).map_err(|error| Failure::about(&arguments.file, &error))?;
    let scratch = Scratch::new()?;
    // What it prints and logs, the message of a panic among it.
    let lines = config::Logs { level: "warn,plugin=debug".into(), ..config::Logs::default() };
    let logs = Logs::start(Format::Human, &lines).map_err(Failure::new)?;
    let dry_run =
        DryRun::of(component.into(), settings.clone(), scratch.path(), Compiler::own_program()?).await;
    let dry_run = match dry_run {
        Ok(dry_run) => dry_run,
        Err(error) => {
            logs.flush(FLUSH_TIMEOUT);
            return Err(Failure::new(error));
        }
    };
    let begun = clock::stopwatch();
    let is_tried = arguments.is_tried();
    let outcome = attempt(console, &dry_run, &settings, arguments).await;
    let took = begun.elapsed();
    let most = dry_run.generation.code.most_bytes();
    dry_run.close().await;
    logs.flush(FLUSH_TIMEOUT);
    if is_tried {
        note(&format!("took {} ms, with {} of memory at most", took.as_millis(), bytes(most)));
    }
    outcome
}

impl Test {
    /// Whether something is called, and not only loaded.
    fn is_tried(&self) -> bool {
        let words = [&self.call, &self.skill, &self.job, &self.request, &self.event, &self.ask];
        words.iter().any(|word| word.is_some()) || self.stage.is_some() || self.transcript.is_some()
    }
}

async fn attempt(
    console: &Console,
    dry_run: &DryRun,
    settings: &Settings,
    arguments: Test,
) -> Result<(), Failure> {
    let Test { call, skill, job, request, body, stage, text, event, ask, model, transcript, .. } = arguments;
    if let Some(tool) = call {
        let called = Value::Object(object("--arguments", &arguments.arguments)?).to_string();
        return calls::call_tool(console, dry_run, &tool, &called).await;
    }
    if let Some(skill) = skill {
        return calls::activate(console, dry_run, &skill, text).await;
    }
    if let Some(job) = job {
        return calls::run_job(console, dry_run, &job).await;
    }
    if let Some(request) = request {
        return route::ask(console, dry_run, &request, body).await;
    }
    if let Some(stage) = stage {
        return calls::inspect_text(console, dry_run, stage, text).await;
    }
    if let Some(event) = event {
        let data = Value::Object(object("--data", &arguments.data)?).to_string();
        return calls::tell(console, dry_run, event, data).await;
    }
    if let Some(text) = ask {
        return talk::ask(console, dry_run, model, text).await;
    }
    if let Some(transcript) = transcript {
        return talk::play(console, dry_run, settings, &transcript).await;
    }
    let generation = &dry_run.generation;
    let answer = json!({ "name": generation.name(), "capabilities": generation.capabilities() });
    console.show(&answer, fields)
}

fn object(what: &str, text: &str) -> Result<serde_json::Map<String, Value>, Failure> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Failure::new(format!("{what} takes a JSON object, not {text}"))),
    }
}
