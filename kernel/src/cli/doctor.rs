//! `prx doctor`: what is wrong, and what mends it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::config::problems;
use super::failure::Failure;
use super::output::{Console, say};
use super::paths::Paths;
use crate::bundled::BUNDLED;
use crate::settings::AtStart;
use prx_base::clock::Clock;
use prx_base::config::{Config, Overrides};
use prx_base::issue::Issue;
use prx_host::on_disk;
use prx_http::Network;
use prx_store::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Fix what can be fixed without a decision of yours
    #[arg(long)]
    fix: bool,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
struct Finding {
    problem: String,
    /// None where the problem says it itself.
    fix: Option<String>,
    fixed: bool,
    /// The path that is open to others.
    #[serde(skip)]
    exposed: Option<PathBuf>,
}

impl Finding {
    fn new(problem: impl ToString, fix: impl ToString) -> Self {
        Self { fix: Some(fix.to_string()), ..Self::plain(problem) }
    }

    /// A problem that says what to do about it.
    fn plain(problem: impl ToString) -> Self {
        Self { problem: problem.to_string(), fix: None, fixed: false, exposed: None }
    }
}

/// Looks at everything that `serve` would look at, and at the gateway if it runs.
pub(super) async fn run(console: &Console, paths: &Paths, arguments: Arguments) -> Result<(), Failure> {
    let mut findings = exposed(paths);
    let is_running = console.gateway.is_running().await?;
    let loaded = paths.file(Overrides::default()).load();
    match &loaded {
        Err(invalid) => findings.push(Finding::new(invalid, "fix the file; then `prx config check`")),
        Ok(loaded) => {
            let file = loaded.file.path().display();
            let fix = match is_running {
                true => format!("fix it in {file}, or with `prx config set`"),
                false => format!("fix it in {file}"),
            };
            let AtStart { fatal, down } = problems(paths, &loaded.config);
            // What is down while the gateway runs it says itself, and its environment is not this shell's.
            let down = down.into_iter().filter(|_| !is_running);
            let all = fatal.into_iter().chain(down);
            findings.extend(all.map(|(key, what)| Finding::new(format!("{key}: {what}"), &fix)));
        }
    }
    for (name, known) in on_disk(BUNDLED, &paths.data_dir) {
        if let Err(error) = known {
            let fix = format!("put another file in its paths, or delete plugins/{name}.wasm");
            findings.push(Finding::new(format!("plugin {name} can't be loaded: {error}"), fix));
        }
    }
    if is_running {
        findings.extend(running(console).await?);
    } else if let Ok(loaded) = &loaded {
        findings.extend(startable(paths, &loaded.config).await);
    }
    if arguments.fix {
        findings.iter_mut().for_each(fix);
    }
    report(console, &findings)
}

/// Files with secrets in them that others may read.
fn exposed(paths: &Paths) -> Vec<Finding> {
    let file = paths.file(Overrides::default());
    let all = [(paths.data_dir.as_path(), 0o077), (file.path(), 0o007)];
    let open_to_others = |(path, others): &(&Path, u32)| {
        fs::metadata(path).is_ok_and(|found| found.permissions().mode() & others != 0)
    };
    let finding = |(path, _): (&Path, u32)| Finding {
        exposed: Some(path.to_owned()),
        ..Finding::new(
            format!("{} holds secrets, and others on this machine may read it", path.display()),
            format!("chmod go= {}", path.display()),
        )
    };
    all.into_iter().filter(open_to_others).map(finding).collect()
}

/// What the gateway that runs says is down.
async fn running(console: &Console) -> Result<Vec<Finding>, Failure> {
    let status = console.gateway.get("/api/v1/status").await?;
    let issues = status["issue_details"].as_array().into_iter().flatten();
    let told = |issue: &Value, key: &str| issue[key].as_str().unwrap_or_default().to_owned();
    let mut findings: Vec<_> =
        issues.map(|issue| Finding::new(told(issue, "problem"), told(issue, "fix"))).collect();
    let due: Vec<&str> =
        status["restart_due"].as_array().into_iter().flatten().filter_map(|key| key.as_str()).collect();
    if !due.is_empty() {
        let problem = format!("a change of {} is not in force yet", due.join(", "));
        findings.push(Finding::new(problem, "restart the gateway"));
    }
    Ok(findings)
}

/// What would keep a gateway from starting.
async fn startable(paths: &Paths, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    match Network::bind(&config.gateway).await {
        Ok(network) => {
            let issue = network.certificate().and_then(|shown| shown.problem(Clock::system().now()));
            findings.extend(issue.map(|Issue { problem, fix, .. }| Finding::new(problem, fix)));
        }
        Err(error) => findings.push(Finding::plain(error)),
    }
    if Store::exists(&paths.data_dir) {
        match Store::open(&paths.data_dir, Clock::system()) {
            Ok(store) => store.close().await,
            Err(error) => findings.push(Finding::plain(error)),
        }
    }
    findings
}

fn fix(finding: &mut Finding) {
    let Some(path) = &finding.exposed else { return };
    let mended = fs::metadata(path).and_then(|found| {
        fs::set_permissions(path, Permissions::from_mode(found.permissions().mode() & 0o700))
    });
    finding.fixed = mended.is_ok();
}

fn report(console: &Console, findings: &[Finding]) -> Result<(), Failure> {
    let left = findings.iter().filter(|finding| !finding.fixed).count();
    let line = |Finding { problem, fix, fixed, .. }: &Finding| match fix {
        _ if *fixed => format!("mended: {problem}"),
        Some(fix) => format!("problem: {problem}\n    fix: {fix}"),
        None => format!("problem: {problem}"),
    };
    if console.json {
        say(&format!("{:#}", json!({ "findings": findings })))?;
    } else {
        findings.iter().map(line).try_for_each(|line| say(&line))?;
    }
    match left {
        0 if console.json => Ok(()),
        0 => say("everything is fine"),
        1 => Err(Failure::new("there is one problem")),
        _ => Err(Failure::new(format!("there are {left} problems"))),
    }
}
