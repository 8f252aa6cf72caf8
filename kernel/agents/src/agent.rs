//! Who decides what a turn does: the agent of its session, its state, and the code before it while new code is on
//! probation.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::work::{Services, Work};
use prx_base::config::{AgentSettings, Settings};
use prx_base::error::{Code, Error, Result};
use prx_host::bindings::agent as wire;
use prx_host::{CallError, Generation, Plugins, Scope, Transcript};
use prx_store::{AgentRecord, AgentState};

/// Most bytes of what an agent keeps of a session.
const MAX_STATE_BYTES: usize = 256 << 10;
/// Most bytes of what it leaves for the next session.
const MAX_CARRY_BYTES: usize = 64 << 10;
/// Most commands of one step.
const MAX_COMMANDS: usize = 256;

/// The agent of a turn.
pub(super) struct Agent {
    /// Its name in the configuration.
    pub(super) name: String,
    /// Its plugin.
    pub(super) plugin: String,
    settings: Settings,
    pub(super) state: AgentState,
    /// What the session before has left.
    pub(super) carried: Option<Vec<u8>>,
    /// The code that did the last step.
    serving: Option<Arc<Generation>>,
}

impl Agent {
    /// The agent with these settings, and what it has kept of a session.
    pub(super) fn new(settings: &AgentSettings, record: AgentRecord) -> Self {
        Self {
            name: settings.name.clone(),
            plugin: settings.plugin.clone(),
            settings: settings.settings.clone(),
            state: record.state.unwrap_or_default(),
            carried: record.carried,
            serving: None,
        }
    }

    /// Its settings as its code takes them, with the defaults of its manifest.
    ///
    /// # Errors
    /// They don't fit, or its plugin is not running.
    pub(super) fn config(&self, plugins: &Plugins) -> Result<String> {
        let code = plugins.agent(&self.plugin).ok_or_else(|| self.gone())?;
        let mut settings = self.settings.clone();
        // What is common to all agents is for those that take it.
        settings.retain(|key, _| code.manifest.config.contains_key(key));
        let checked = code.manifest.check_config(&settings);
        let wrong = |problems: Vec<String>| {
            let message =
                format!("The agent {} can't answer: agents.{0}.{1}", self.name, problems.join("; "));
            Error::new(Code::Unavailable, message)
        };
        Ok(checked.map_err(wrong)?.json)
    }

    /// Has it handle events: by the newest code there is, and if that is broken by the code before.
    ///
    /// # Errors
    /// It can't, or did what it may not; says why.
    pub(super) async fn step(
        &mut self,
        work: &Work<'_>,
        context: &wire::Context,
        events: &[wire::Event],
        transcript: Arc<dyn Transcript>,
    ) -> Result<wire::Step> {
        let Services { plugins, .. } = work.services;
        let newest = plugins.agent(&self.plugin).ok_or_else(|| self.gone())?;
        let previous = self.serving.clone().filter(|serving| !Arc::ptr_eq(serving, &newest));
        let failure = match self.handle(&newest, context, events, transcript.clone()).await {
            Ok(step) => {
                if let Some(previous) = &previous {
                    info!(
                        agent = self.name,
                        from = previous.number,
                        to = newest.number,
                        "the turn goes on in new code"
                    );
                }
                self.serving = Some(newest);
                return Ok(step);
            }
            Err(failure) => failure,
        };
        plugins.report(&newest, Err(&failure));
        let Some(previous) = previous.filter(|_| failure.is_defect()) else {
            return Err(failure.into_error(&self.plugin));
        };
        error!(agent = self.name, from = newest.number, to = previous.number, %failure, "new code broke; the code before goes on");
        let step = self.handle(&previous, context, events, transcript).await;
        plugins.withdraw(newest, previous, failure.to_string()).await;
        step.map_err(|failure| failure.into_error(&self.plugin))
    }

    async fn handle(
        &mut self,
        code: &Generation,
        context: &wire::Context,
        events: &[wire::Event],
        transcript: Arc<dyn Transcript>,
    ) -> Result<wire::Step, CallError> {
        let version = state_version(code);
        if self.state.version != version && !self.state.bytes.is_empty() {
            let bytes = code.code.migrate_turn(self.state.version, &self.state.bytes).await?;
            self.state = AgentState { version, bytes };
        }
        self.state.version = version;
        let scope = Scope { transcript: Some(transcript), ..Scope::default() };
        let step = code.code.handle_turn(context, &self.state.bytes, events, scope).await?;
        within_bounds(&step).map_err(CallError::Trap)?;
        Ok(step)
    }

    fn gone(&self) -> Error {
        Error::new(
            Code::Unavailable,
            format!("The agent {} can't answer: its plugin {} is not running", self.name, self.plugin),
        )
    }
}

fn state_version(code: &Generation) -> u32 {
    code.manifest.agent.as_ref().map_or(1, |agent| agent.state_version)
}

/// Whether a step is no larger than steps may be.
fn within_bounds(step: &wire::Step) -> Result<(), String> {
    let state = step.state.as_ref().map_or(0, Vec::len);
    let carry = step.carry.as_ref().map_or(0, Vec::len);
    for (what, found, most) in [
        ("bytes of state", state, MAX_STATE_BYTES),
        ("bytes for the next session", carry, MAX_CARRY_BYTES),
        ("commands", step.commands.len(), MAX_COMMANDS),
    ] {
        if found > most {
            warn!(found, most, "a step of an agent has too many {what}");
            return Err(format!("a step of it has {found} {what}; the most is {most}"));
        }
    }
    Ok(())
}
