//! Filters: plugins that look at what flows, in the operator's order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tracing::warn;

use super::bindings::common::Attachment;
use super::bindings::filter::{Stage, StageKind, Verdict};
use super::bindings::stage_name;
use super::call::CallError;
use super::catalog::TriedCode;
use super::generation::Generation;
use super::registry::Plugins;
use super::scope::Scope;
use prx_base::Base;
use prx_base::config::OnError;
use prx_base::issue::{Issue, IssueKind};
use prx_base::meter;

/// Largest text that a filter puts in the place of another, in bytes.
const MAX_REPLACED_BYTES: usize = 1 << 20;
/// Bytes of its reason that are kept, where it stops something.
const MAX_REASON_BYTES: usize = 4 << 10;
/// What is read where a filter has stopped something and doesn't say why.
const NO_REASON: &str = "This was stopped, and nobody says why.";

/// By plugin and stage: why it failed there when it was asked last.
type Failures = BTreeMap<(String, &'static str), String>;

/// A cheap-clone handle to the filters.
#[derive(Clone)]
pub struct Filters(Arc<Work>);

struct Work {
    base: Base,
    plugins: Plugins,
    /// The lock is never held across an await.
    failures: Mutex<Failures>,
}

/// What has become of something that filters have looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// It goes on as it is.
    AsItWas,
    /// It goes on with this text.
    Replaced(String),
    /// It goes no further.
    Stopped(Stopped),
}

/// Why something goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// A filter says so, for whoever was to read it.
    Said(String),
    /// The filter of this name does not do its work, and nothing is to pass without it.
    Unchecked(String),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(why) => f.write_str(why),
            Self::Unchecked(plugin) => write!(
                f,
                "This was stopped, for it could not be checked: the filter {plugin} does not do its work at the moment. \
                 Whoever runs this gateway can see why."
            ),
        }
    }
}

/// A filter that does not do its work, and what is to be done then.
struct Failing<'a> {
    plugin: &'a str,
    stage: StageKind,
    why: String,
    on_error: OnError,
}

impl Filters {
    /// The filters among these plugins, as the configuration names them.
    pub fn new(base: Base, plugins: Plugins) -> Self {
        Self(Arc::new(Work { base, plugins, failures: Mutex::default() }))
    }

    /// Whether anything at this stage may be changed or stopped. One that does not run could be asked anywhere.
    pub fn applies(&self, stage: StageKind) -> bool {
        let config = self.0.base.config.current();
        config.components.filters.order.iter().any(|plugin| match self.0.plugins.filter(plugin) {
            Some(code) => takes(&code.newest, stage),
            None => config.components.filters.of(plugin).on_error == OnError::Refuse,
        })
    }

    /// Has all filters of its stage look at something, one after the other: each sees what the one before has made of it.
    pub async fn inspect(&self, mut stage: Stage) -> Passed {
        let config = self.0.base.config.current();
        let kind = kind(&stage);
        let mut replaced = false;
        for plugin in &config.components.filters.order {
            let settings = config.components.filters.of(plugin);
            let failing = |why| Failing { plugin, stage: kind, why, on_error: settings.on_error };
            let Some(code) = self.0.plugins.filter(plugin) else {
                let why = "it is not running, or is no filter".to_owned();
                match self.failed(failing(why)) {
                    Some(stopped) => return stopped,
                    None => continue,
                }
            };
            if !takes(&code.newest, kind) {
                continue;
            }
            let verdict = self.ask(code, &stage, Duration::from_millis(settings.deadline_ms)).await;
            match verdict.and_then(|verdict| check(kind, verdict)) {
                Ok(verdict) => {
                    self.failures().remove(&(plugin.clone(), stage_name(kind)));
                    self.0.base.meter.filtered(plugin, counted(&verdict));
                    match verdict {
                        Verdict::Pass => {}
                        Verdict::Replace(text) => {
                            *text_of(&mut stage) = text;
                            replaced = true;
                        }
                        Verdict::Stop(why) => {
                            tracing::info!(
                                plugin,
                                stage = stage_name(kind),
                                "a filter has stopped something"
                            );
                            return Passed::Stopped(Stopped::Said(reason(why)));
                        }
                    }
                }
                Err(why) => {
                    if let Some(stopped) = self.failed(failing(why)) {
                        return stopped;
                    }
                }
            }
        }
        match replaced {
            true => Passed::Replaced(std::mem::take(text_of(&mut stage))),
            false => Passed::AsItWas,
        }
    }

    /// What is wrong with filters.
    pub fn issues(&self) -> Vec<Issue> {
        let Work { base, plugins, .. } = &*self.0;
        let config = base.config.current();
        let order = &config.components.filters.order;
        let failures = self.failures().clone();
        let mut issues = Vec::new();
        for plugin in order {
            let what_then = match config.components.filters.of(plugin).on_error {
                OnError::Refuse => "what it is to see is refused",
                OnError::Pass => "what it is to see goes on without it",
            };
            if plugins.filter(plugin).is_none() {
                let problem = format!("filter {plugin} is not running, or is no filter; {what_then}");
                let fix = format!(
                    "see `prx plugin list`, or take it out of filters.order, or set filters.{plugin}.on_error"
                );
                issues.push(Issue::new(IssueKind::Filter, problem, fix));
                continue;
            }
            for ((_, stage), why) in failures.iter().filter(|((failed, _), _)| failed == plugin) {
                let problem =
                    format!("filter {plugin} failed when it was asked last ({stage}): {why}; {what_then}");
                let fix =
                    format!("mend what it says; filters.{plugin}.on_error says what happens until then");
                issues.push(Issue::new(IssueKind::Filter, problem, fix));
            }
        }
        for standing in plugins.standings() {
            let Some(generation) = standing.serving else { continue };
            let name = generation.name();
            if generation.description.filters.is_some() && !order.iter().any(|named| named == name) {
                let problem = format!("plugin {name} is a filter, and is asked about nothing");
                let fix = format!("name it in filters.order, or disable it: `prx plugin disable {name}`");
                issues.push(Issue::new(IssueKind::Filter, problem, fix));
            }
        }
        issues
    }

    /// Notes that a filter has not done its work. Stopped, if nothing is to pass without it.
    fn failed(&self, failing: Failing<'_>) -> Option<Passed> {
        let Failing { plugin, stage, why, on_error } = failing;
        let stage = stage_name(stage);
        warn!(plugin, stage, "a filter failed: {why}");
        self.0.base.meter.filtered(plugin, meter::Verdict::Failed);
        self.failures().insert((plugin.to_owned(), stage), why);
        (on_error == OnError::Refuse).then(|| Passed::Stopped(Stopped::Unchecked(plugin.to_owned())))
    }

    /// Asks a filter: its newest code, and where that is on probation and breaks, the code before it, which serves from then
    /// on.
    async fn ask(&self, code: TriedCode, stage: &Stage, deadline: Duration) -> Result<Verdict, String> {
        let (plugins, TriedCode { newest, before }) = (&self.0.plugins, code);
        let answer = ask(&newest, stage, deadline).await;
        plugins.report(&newest, answer.as_ref().map(drop));
        match (answer, before) {
            (Ok(verdict), _) => {
                plugins.did_well(&newest);
                Ok(verdict)
            }
            (Err(failure), Some(before)) if failure.is_its_own() => {
                let why = format!("its filter failed on probation: {failure}");
                let answer = ask(&before, stage, deadline).await;
                let plugins = plugins.clone();
                // That may have to wait for something else that is done to the plugin; what is on its way need not.
                tokio::spawn(async move { plugins.withdraw(newest, before, why).await });
                answer.map_err(|error| error.to_string())
            }
            (Err(failure), _) => Err(failure.to_string()),
        }
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.0.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the code of a filter; it may read the files that come with what it sees.
async fn ask(generation: &Generation, stage: &Stage, deadline: Duration) -> Result<Verdict, CallError> {
    let scope = Scope { attachments: attachments_of(stage).to_vec(), ..Scope::default() };
    let answer = tokio::time::timeout(deadline, generation.code.inspect(stage, scope)).await;
    answer.unwrap_or(Err(CallError::Deadline(deadline)))
}

/// Holds a verdict against what may be done at a stage.
fn check(stage: StageKind, verdict: Verdict) -> Result<Verdict, String> {
    let Verdict::Replace(text) = &verdict else { return Ok(verdict) };
    if text.len() > MAX_REPLACED_BYTES {
        return Err(format!("it puts in {} bytes; {MAX_REPLACED_BYTES} are the most", text.len()));
    }
    let is_object = || matches!(serde_json::from_str(text), Ok(Value::Object(_)));
    match stage == StageKind::BeforeTool && !is_object() {
        true => Err("what it puts in for the arguments of a call is no JSON object".into()),
        false => Ok(verdict),
    }
}

fn counted(verdict: &Verdict) -> meter::Verdict {
    match verdict {
        Verdict::Pass => meter::Verdict::Passed,
        Verdict::Replace(_) => meter::Verdict::Replaced,
        Verdict::Stop(_) => meter::Verdict::Stopped,
    }
}

fn reason(mut why: String) -> String {
    why.truncate(why.floor_char_boundary(MAX_REASON_BYTES));
    if why.trim().is_empty() { NO_REASON.into() } else { why }
}

fn takes(generation: &Generation, stage: StageKind) -> bool {
    generation.description.filters.as_ref().is_some_and(|stages| stages.contains(&stage))
}

fn kind(stage: &Stage) -> StageKind {
    match stage {
        Stage::Inbound(_) => StageKind::Inbound,
        Stage::Outbound(_) => StageKind::Outbound,
        Stage::BeforeTool(_) => StageKind::BeforeTool,
        Stage::AfterTool(_) => StageKind::AfterTool,
    }
}

fn text_of(stage: &mut Stage) -> &mut String {
    match stage {
        Stage::Inbound(said) | Stage::Outbound(said) => &mut said.text,
        Stage::BeforeTool(call) => &mut call.arguments,
        Stage::AfterTool(end) => &mut end.text,
    }
}

fn attachments_of(stage: &Stage) -> &[Attachment] {
    match stage {
        Stage::Inbound(said) | Stage::Outbound(said) => &said.attachments,
        Stage::BeforeTool(_) => &[],
        Stage::AfterTool(end) => &end.attachments,
    }
}
