//! Who decides what a turn does: the agent of its session, its state, and the code before it while new code is on
//! probation.

use std::sync::Arc;

use tracing::{error, info};

use super::failure::agent_is_down;
use super::work::Work;
use prx_base::config::{AgentSettings, Settings};
use prx_base::error::{Code, Error, Result};
use prx_host::bindings::agent as wire;
use prx_host::{CallError, Generation, Level, Plugins, Scope, Transcript};
use prx_store::{AgentRecord, AgentState};

/// The agent of a turn.
pub(super) struct Agent {
    /// Its name in the configuration.
    pub(super) name: String,
    /// Its plugin.
    pub(super) plugin: String,
    pub(super) settings: Settings,
    pub(super) state: AgentState,
    /// Its state before the version of that changed, and where the history began then.
    earlier: Option<(AgentState, String)>,
    /// What the session before has left.
    pub(super) carried: Option<Vec<u8>>,
    /// The code that did the last step.
    serving: Option<Arc<Generation>>,
}

/// What became of the state when other code took it up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TakenUp {
    AsItWas,
    /// It has another version now.
    Migrated,
    /// The code can't read what code of another version has made of it, and goes on from what it had before; its history
    /// began here, empty for all of it.
    Earlier(String),
}

impl Agent {
    /// The agent with these settings, and what it has kept of a session.
    pub(super) fn new(settings: &AgentSettings, record: AgentRecord) -> Self {
        Self {
            name: settings.name.clone(),
            plugin: settings.plugin.clone(),
            settings: settings.settings.clone(),
            state: record.state.unwrap_or_default(),
            earlier: record.earlier,
            carried: record.carried,
            serving: None,
        }
    }

    /// Its settings as its code takes them, with the defaults of its manifest.
    ///
    /// # Errors
    /// They don't fit.
    pub(super) fn config(&self, code: &Generation) -> Result<String> {
        let mut settings = self.settings.clone();
        // What is common to all agents is for those that take it.
        settings.retain(|key, _| code.manifest.config.contains_key(key));
        let checked = code.manifest.check_config(&settings);
        let wrong = |problems: Vec<String>| {
            let message =
                format!("The agent {} can't answer: agents.{0}.{1}", self.name, problems.join("; "));
            agent_is_down(Error::new(Code::Unavailable, message), &self.name)
        };
        Ok(checked.map_err(wrong)?.json)
    }

    /// The code that may do the next step: the newest, and then what there is to go back to while that is on probation, or
    /// where it is new in this turn.
    ///
    /// # Errors
    /// Its plugin is not running.
    pub(super) fn codes(&self, plugins: &Plugins) -> Result<Vec<Arc<Generation>>> {
        let code = plugins.agent(&self.plugin).ok_or_else(|| self.gone())?;
        let before = self.serving.clone().filter(|serving| !Arc::ptr_eq(serving, &code.newest));
        Ok([Some(code.newest), before.or(code.before)].into_iter().flatten().collect())
    }

    /// Has this code take up the state.
    ///
    /// # Errors
    /// It can't, and has none of its own from before.
    pub(super) async fn take_up(&mut self, code: &Generation) -> Result<TakenUp, CallError> {
        let version = code.manifest.agent.as_ref().map_or(1, |agent| agent.state_version);
        let from = self.state.version;
        if from == version || self.state.bytes.is_empty() {
            self.state.version = version;
            return Ok(TakenUp::AsItWas);
        }
        match code.code.migrate_turn(from, &self.state.bytes).await {
            Ok(bytes) => {
                info!(agent = self.name, from, to = version, "the state is migrated");
                self.state = AgentState { version, bytes };
                Ok(TakenUp::Migrated)
            }
            Err(failure) => match self.earlier.take_if(|(earlier, _)| earlier.version == version) {
                Some((earlier, history_from)) => {
                    info!(agent = self.name, from, to = version, "the state from before is taken up again");
                    self.state = earlier;
                    Ok(TakenUp::Earlier(history_from))
                }
                None => Err(failure),
            },
        }
    }

    /// Has this code handle events.
    ///
    /// # Errors
    /// It can't.
    pub(super) async fn handle(
        &self,
        code: &Generation,
        context: &wire::Context,
        events: &[wire::Event],
        transcript: Arc<dyn Transcript>,
    ) -> Result<wire::Step, CallError> {
        let scope = Scope { transcript: Some(transcript), ..Scope::default() };
        code.code.handle_turn(context, &self.state.bytes, events, scope).await
    }

    /// Notes that this code has done a step.
    pub(super) fn served(&mut self, work: &Work<'_>, code: Arc<Generation>) {
        work.services.plugins.did_well(&code);
        if let Some(before) = self.serving.as_ref().filter(|before| !Arc::ptr_eq(before, &code)) {
            info!(
                agent = self.name,
                from = before.number,
                to = code.number,
                "the turn goes on in other code"
            );
        }
        self.serving = Some(code);
    }

    /// Has new code that broke replaced by the code before, everywhere.
    pub(super) fn withdraw(
        &self,
        work: &Work<'_>,
        broken: &Arc<Generation>,
        before: &Arc<Generation>,
        why: String,
    ) {
        error!(
            agent = self.name,
            from = broken.number,
            to = before.number,
            why,
            "new code broke; the code before goes on"
        );
        let (plugins, broken, before) = (work.services.plugins.clone(), broken.clone(), before.clone());
        // That may have to wait for something else that is done to the plugin; the turn need not.
        tokio::spawn(async move { plugins.withdraw(broken, before, why).await });
    }

    /// Writes its lines to the log.
    pub(super) fn log(&self, code: &Generation, lines: Vec<(Level, String)>) {
        let module = format!("agent::{}", self.name);
        for (level, line) in lines {
            code.code.journal().write_as(&module, level, &line);
        }
    }

    fn gone(&self) -> Error {
        let message = format!(
            "The agent {} can't answer: its plugin {} is not running; `prx plugin list` says why",
            self.name, self.plugin
        );
        agent_is_down(Error::new(Code::Unavailable, message), &self.name)
    }
}
