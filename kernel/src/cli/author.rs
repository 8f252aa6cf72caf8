//! `prx plugin new`, `build`, `check` and `test`: for those who write plugins. None of them needs a gateway.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{Console, fields};
use prx_base::clock::Clock;
use prx_base::config::{self, Settings};
use prx_host::bindings::common::{Action, Outgoing};
use prx_host::bindings::filter::{Said, Stage, ToolEnd, ToolUse, Verdict};
use prx_host::bindings::observer::Happening;
use prx_host::bindings::tool::CallContext;
use prx_host::grants::{self, Allowance};
use prx_host::inspect::{Capability, Inspected, SECTION, inspect};
use prx_host::manifest::{Manifest, valid_name};
use prx_host::{Compiler, DryRun, Makes, Scope};
use prx_store::{Attachment, BlobLimits};

mod route;

/// Where plugins get the SDK from, unless they are told of a copy.
const REPOSITORY: &str = "https://github.com/prx-gateway/prx";
/// What a new plugin begins with.
const SOURCE: &str = include_str!("../../../examples/hello-tool/src/lib.rs");
const MANIFEST: &str = include_str!("../../../examples/hello-tool/plugin.toml");
const PACKAGE: &str = include_str!("author/Cargo.toml.in");
/// What components are built for.
const TARGET: &str = "wasm32-wasip2";

#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// The plugin's name; its folder is called the same
    name: String,
    /// A copy of the SDK to build against, instead of the one in the repository
    #[arg(long, value_name = "FOLDER")]
    sdk: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Build {
    /// The folder of the plugin's package, for one in Rust
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// A component that was built in another language: puts the manifest into a copy of it
    #[arg(long, value_name = "FILE", requires = "output")]
    component: Option<PathBuf>,
    /// Where that copy goes
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Test {
    /// The component
    file: PathBuf,
    /// Call this tool of it
    #[arg(long, value_name = "TOOL")]
    call: Option<String>,
    /// The tool's arguments, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "call")]
    arguments: String,
    /// Run this job of it
    #[arg(long, value_name = "JOB", conflicts_with = "call")]
    job: Option<String>,
    /// Have its routes answer this, such as "GET /"
    #[arg(long, value_name = "REQUEST", conflicts_with_all = ["call", "job"])]
    request: Option<String>,
    /// The body of that request
    #[arg(long, value_name = "TEXT", default_value = "", requires = "request")]
    body: String,
    /// Ask its filter at this stage
    #[arg(long, value_name = "STAGE", conflicts_with_all = ["call", "job", "request"])]
    stage: Option<FilterStage>,
    /// What the filter is asked about: a text, or for a call its arguments, a JSON object
    #[arg(long, value_name = "TEXT", default_value = "", requires = "stage")]
    text: String,
    /// Tell its observer that an event of this kind has happened, such as message.sent
    #[arg(long, value_name = "KIND", conflicts_with_all = ["call", "job", "request", "stage"])]
    event: Option<String>,
    /// What is known of the event, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "event")]
    data: String,
    /// Its configuration, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    settings: String,
}

/// Where a filter is asked.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FilterStage {
    /// A message to its turn
    Inbound,
    /// A reply to whoever it is for
    Outbound,
    /// A call to its tool
    BeforeTool,
    /// The result of a call
    AfterTool,
}

pub(super) fn new(console: &Console, arguments: &New) -> Result<(), Failure> {
    let name = &arguments.name;
    if !valid_name(name) {
        return Err(Failure::new(format!("{name:?} can't be a plugin's name: use a-z, 0-9, _ and -")));
    }
    let sdk = match &arguments.sdk {
        Some(folder) => {
            let folder = fs::canonicalize(folder).map_err(|error| unusable(folder, &error))?;
            format!("path = {:?}", folder.display().to_string())
        }
        None => format!("git = {REPOSITORY:?}"),
    };
    let folder = Path::new(name);
    if folder.exists() {
        return Err(Failure::new(format!("{name} is there already; choose another name")));
    }
    let files = [
        ("Cargo.toml", PACKAGE.replace("{name}", name).replace("{sdk}", &sdk)),
        ("plugin.toml", MANIFEST.replace("hello-tool", name)),
        ("src/lib.rs", SOURCE.to_owned()),
    ];
    fs::create_dir_all(folder.join("src"))?;
    for (file, text) in files {
        fs::write(folder.join(file), text)?;
    }
    let text = format!("{name}/ is a plugin with one tool; build it with: prx plugin build {name}");
    console.done(&json!({"name": name, "folder": name}), &text)
}

pub(super) fn build(console: &Console, arguments: &Build) -> Result<(), Failure> {
    let file = match (&arguments.component, &arguments.output) {
        (Some(component), Some(output)) => add_manifest(component, &arguments.folder, output)?,
        _ => cargo(&arguments.folder)?,
    };
    check(console, &file)
}

/// Says what a gateway would, before it compiles anything.
pub(super) fn check(console: &Console, file: &Path) -> Result<(), Failure> {
    let bytes = fs::read(file).map_err(|error| unusable(file, &error))?;
    let found = inspect(&bytes).map_err(|error| unusable(file, &error))?;
    DryRun::check(&found).map_err(|error| unusable(file, &error))?;
    let plugin = &found.manifest.plugin;
    let jobs: Vec<String> =
        found.manifest.schedules().map(|job| format!("{}: {}", job.name, job.cron.as_str())).collect();
    let missing = grants::missing(&found.manifest, &Allowance::default());
    let answer = json!({
        "file": file.display().to_string(),
        "name": plugin.name,
        "version": plugin.version,
        "size": bytes.len(),
        "capabilities": found.capabilities,
        "imports": found.imports,
        "jobs": jobs,
        "routes": routes(&found),
        "to_grant": missing.map(|grant| grants::lines(&plugin.name, &grant)),
    });
    console.show(&answer, fields)
}

/// What paths lead to it, as far as they are granted.
fn routes(found: &Inspected) -> Vec<String> {
    let own = format!("/ext/{}/", found.manifest.plugin.name);
    let all = [own].into_iter().chain(found.manifest.permissions.routes.iter().cloned());
    all.filter(|_| found.capabilities.contains(&Capability::Route)).collect()
}

/// Loads a component as a gateway would, with everything that it asks for granted, and calls it if asked to.
pub(super) async fn test(console: &Console, arguments: Test) -> Result<(), Failure> {
    let object = |what: &str, text: &str| match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Failure::new(format!("{what} takes a JSON object, not {text}"))),
    };
    let settings: Settings = object("--settings", &arguments.settings)?;
    let called = Value::Object(object("--arguments", &arguments.arguments)?).to_string();
    let data = Value::Object(object("--data", &arguments.data)?).to_string();
    let bytes = fs::read(&arguments.file).map_err(|error| unusable(&arguments.file, &error))?;
    let compiler = Compiler::own_program()?;
    let scratch_folder = scratch_folder()?;
    let dry_run = DryRun::of(bytes.into(), settings, &scratch_folder, compiler).await;
    let outcome = match dry_run {
        Ok(dry_run) => {
            let Test { call, job, request, body, stage, text, event, .. } = arguments;
            let outcome = match (job, request, stage, event) {
                (Some(job), ..) => run_job(console, &dry_run, &job).await,
                (_, Some(request), ..) => route::ask(console, &dry_run, &request, body).await,
                (.., Some(stage), _) => inspect_text(console, &dry_run, stage, text).await,
                (.., Some(event)) => tell(console, &dry_run, event, data).await,
                _ => call_tool(console, &dry_run, call.as_deref(), &called).await,
            };
            dry_run.close().await;
            outcome
        }
        Err(error) => Err(Failure::new(error)),
    };
    fs::remove_dir_all(&scratch_folder)?;
    outcome
}

/// A folder of nobody else's: what lies in it is trusted, compiled code with it.
pub(super) fn scratch_folder() -> Result<PathBuf, Failure> {
    let name = format!("prx-test-{:016x}", getrandom::u64().map_err(Failure::new)?);
    let scratch_folder = std::env::temp_dir().join(name);
    DirBuilder::new()
        .mode(0o700)
        .create(&scratch_folder)
        .map_err(|error| unusable(&scratch_folder, &error))?;
    Ok(scratch_folder)
}

async fn call_tool(
    console: &Console,
    dry_run: &DryRun,
    tool: Option<&str>,
    arguments: &str,
) -> Result<(), Failure> {
    let generation = &dry_run.generation;
    let Some(tool) = tool else {
        let answer = json!({ "name": generation.name(), "capabilities": generation.capabilities() });
        return console.show(&answer, fields);
    };
    let context = CallContext { session: None, call: "test".into(), user: None };
    let makes = Makes { channel: String::new(), limits: BlobLimits::from(&config::Store::default()) };
    let scope = Scope { makes: Some(makes), ..Scope::default() };
    let output = generation.code.call_tool(tool, arguments, &context, scope).await;
    let output = output.map_err(|error| Failure::new(format!("{tool}: {error}")))?;
    let structured: Option<Value> = output.structured.and_then(|json| serde_json::from_str(&json).ok());
    let made: Vec<Attachment> = output.attachments.into_iter().map(Into::into).collect();
    let answer = json!({ "content": output.text, "structured": structured, "attachments": made });
    console.show(&answer, |_| output.text.clone())
}

/// Runs a job once, as if it were due now, and shows what it wants to do; nothing of it is done.
async fn run_job(console: &Console, dry_run: &DryRun, job: &str) -> Result<(), Failure> {
    let generation = &dry_run.generation;
    if !generation.manifest.schedules().any(|schedule| schedule.name == job) {
        let known: Vec<&str> = generation.manifest.schedules().map(|schedule| &*schedule.name).collect();
        return Err(Failure::new(format!("there is no job {job}; there are: {}", known.join(", "))));
    }
    let actions = generation.code.run_job(job, Clock::system().now_ms(), "run_test").await;
    let actions = actions.map_err(|error| Failure::new(format!("{job}: {error}")))?;
    let actions: Vec<Value> = actions.iter().map(action).collect();
    console.show(&json!({ "actions": actions }), fields)
}

/// Tells an observer of an event, as if it had happened now, and shows what it wants to do; nothing of it is done.
async fn tell(console: &Console, dry_run: &DryRun, kind: String, data: String) -> Result<(), Failure> {
    let generation = &dry_run.generation;
    let Some(wanted) = &generation.description.observes else {
        return Err(Failure::new("it has no observer"));
    };
    if !generation.rights.may_see(&kind) || !wanted.iter().any(|pattern| config::fits(pattern, &kind)) {
        let asked = generation.manifest.permissions.events.subscribe.join(", ");
        let why = format!(
            "it is not told of {kind}: its manifest asks for {asked}, its code for {}",
            wanted.join(", ")
        );
        return Err(Failure::new(why));
    }
    let happening = Happening { seq: 1, kind, at: Clock::system().now_ms(), data };
    let actions = generation.code.observe(&[happening]).await.map_err(Failure::new)?;
    let actions: Vec<Value> = actions.iter().map(action).collect();
    console.show(&json!({ "actions": actions }), fields)
}

/// Asks a filter about something that is said, or about a call of a tool named `test`, and shows its verdict.
async fn inspect_text(
    console: &Console,
    dry_run: &DryRun,
    stage: FilterStage,
    text: String,
) -> Result<(), Failure> {
    let said = |text: String| Said {
        channel: "api".into(),
        session: "test".into(),
        user: "test".into(),
        sender: String::new(),
        text,
        attachments: Vec::new(),
    };
    let tool_use = |arguments: String| ToolUse {
        session: None,
        user: None,
        agent: None,
        call: "test".into(),
        name: "test".into(),
        arguments,
    };
    let stage = match stage {
        FilterStage::Inbound => Stage::Inbound(said(text)),
        FilterStage::Outbound => Stage::Outbound(said(text)),
        FilterStage::BeforeTool => Stage::BeforeTool(tool_use(text)),
        FilterStage::AfterTool => {
            let (use_, is_error) = (tool_use("{}".into()), false);
            Stage::AfterTool(ToolEnd { use_, text, is_error, attachments: Vec::new() })
        }
    };
    let verdict = dry_run.generation.code.inspect(&stage, Scope::default()).await;
    let verdict = verdict.map_err(|error| Failure::new(format!("its filter: {error}")))?;
    let answer = match verdict {
        Verdict::Pass => json!({ "verdict": "pass" }),
        Verdict::Replace(text) => json!({ "verdict": "replace", "text": text }),
        Verdict::Stop(why) => json!({ "verdict": "stop", "why": why }),
    };
    console.show(&answer, fields)
}

fn action(action: &Action) -> Value {
    let said = |outgoing: &Outgoing| {
        let Outgoing { channel, conversation, thread, text } = outgoing;
        json!({ "channel": channel, "conversation": conversation, "thread": thread, "text": text })
    };
    match action {
        Action::Send(outgoing) => json!({ "send": said(outgoing) }),
        Action::BeginTurn(outgoing) => json!({ "begin_turn": said(outgoing) }),
        Action::Publish((event, about)) => json!({ "publish": event, "data": about }),
    }
}

/// Builds a package and answers with its component.
fn cargo(folder: &Path) -> Result<PathBuf, Failure> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    cargo.arg("--manifest-path").arg(folder.join("Cargo.toml"));
    let built = cargo.stderr(Stdio::inherit()).output();
    let built = built.map_err(|error| Failure::new(format!("cargo can't be run: {error}; install Rust")))?;
    if !built.status.success() {
        let hint = format!("rustup target add {TARGET}");
        return Err(Failure::new(format!("it does not build; if it is the target that is missing: {hint}")));
    }
    let lines = String::from_utf8_lossy(&built.stdout);
    let messages = lines.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut files = messages.flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default());
    let component = files.find_map(|file| Some(file.as_str()?.to_owned()).filter(|f| f.ends_with(".wasm")));
    let none = || Failure::new("the package makes no component: it needs crate-type = [\"cdylib\"]");
    component.map(PathBuf::from).ok_or_else(none)
}

/// Writes a copy of a component with the manifest that is in `folder` in it.
fn add_manifest(component: &Path, folder: &Path, output: &Path) -> Result<PathBuf, Failure> {
    let path = folder.join("plugin.toml");
    let manifest = fs::read_to_string(&path).map_err(|error| unusable(&path, &error))?;
    Manifest::parse(&manifest).map_err(Failure::new)?;
    let mut bytes = fs::read(component).map_err(|error| unusable(component, &error))?;
    let mut section = Vec::new();
    leb128(SECTION.len(), &mut section);
    section.extend_from_slice(SECTION.as_bytes());
    section.extend_from_slice(manifest.as_bytes());
    // A custom section has the number 0.
    bytes.push(0);
    leb128(section.len(), &mut bytes);
    bytes.extend_from_slice(&section);
    inspect(&bytes).map_err(|error| unusable(component, &error))?;
    fs::write(output, bytes).map_err(|error| unusable(output, &error))?;
    Ok(output.to_owned())
}

fn leb128(mut number: usize, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn unusable(file: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("{}: {error}", file.display()))
}
