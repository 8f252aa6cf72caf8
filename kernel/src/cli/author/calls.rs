//! `prx plugin test` with one call of a tool, a skill, a job, an observer or a filter.

use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::output::{Console, fields};
use prx_base::clock::Clock;
use prx_base::config;
use prx_host::bindings::common::{Action, Activation, Outgoing};
use prx_host::bindings::filter::{Said, Stage, ToolEnd, ToolUse, Verdict};
use prx_host::bindings::observer::Happening;
use prx_host::bindings::skill::SkillInput;
use prx_host::bindings::tool::CallContext;
use prx_host::{DryRun, Makes, Scope};
use prx_store::{Attachment, BlobLimits};

/// Where a filter is asked.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum FilterStage {
    /// A message to its turn
    Inbound,
    /// A reply to whoever it is for
    Outbound,
    /// A call to its tool
    BeforeTool,
    /// The result of a call
    AfterTool,
}

pub(super) async fn call_tool(
    console: &Console,
    dry_run: &DryRun,
    tool: &str,
    arguments: &str,
) -> Result<(), Failure> {
    let generation = &dry_run.generation;
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
pub(super) async fn run_job(console: &Console, dry_run: &DryRun, job: &str) -> Result<(), Failure> {
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
pub(super) async fn tell(
    console: &Console,
    dry_run: &DryRun,
    kind: String,
    data: String,
) -> Result<(), Failure> {
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
pub(super) async fn inspect_text(
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

/// Has a skill take part in a turn that begins with this text, as after its trigger.
pub(super) async fn activate(
    console: &Console,
    dry_run: &DryRun,
    skill: &str,
    text: String,
) -> Result<(), Failure> {
    let generation = &dry_run.generation;
    let skills = &generation.description.skills;
    if !skills.iter().any(|known| known.name == skill) {
        let known: Vec<&str> = skills.iter().map(|known| &*known.name).collect();
        return Err(Failure::new(format!("there is no skill {skill}; there are: {}", known.join(", "))));
    }
    let input = SkillInput { text, history: Vec::new(), session: "test".into() };
    let activation = generation.code.activate(skill, &input, Scope::default()).await;
    let activation = activation.map_err(|error| Failure::new(format!("{skill}: {error}")))?;
    let answer = match activation {
        Activation::Instruct(told) => json!({ "instructions": told.text, "tools": told.tools }),
        Activation::Reply(reply) => json!({ "reply": reply }),
    };
    console.show(&answer, fields)
}
