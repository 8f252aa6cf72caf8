//! A turn at work, as every step of it sees it.

use super::failure;
use super::provider_health::ProviderHealth;
use super::stream::ReplyStream;
use super::tool::Tools;
use super::windows::Windows;
use super::words::{self, Words};
use super::work_timer::WorkTimer;
use super::workers::Wakeup;
use prx_base::Base;
use prx_base::config::AgentSettings;
use prx_base::error::{Error, Result};
use prx_base::traces::{Kind, Span, TraceContext};
use prx_host::Plugins;
use prx_host::memory::Memory;
use prx_store::{Store, Turn};

/// What turns are run with: a cheap-clone handle each.
#[derive(Clone)]
pub(super) struct Services {
    /// Time, configuration and events.
    pub(super) base: Base,
    /// The disk.
    pub(super) store: Store,
    /// Skills and providers.
    pub(super) plugins: Plugins,
    /// Tools.
    pub(super) tools: Tools,
    /// What is remembered of people.
    pub(super) memory: Memory,
    /// Which providers failed when they were last asked.
    pub(super) provider_health: ProviderHealth,
    /// How much each model takes.
    pub(super) windows: Windows,
}

impl Services {
    /// The settings of the agent that answers in a turn's session.
    ///
    /// # Errors
    /// There is none of the name that the session has, or the store has failed.
    pub(super) fn agent_of(&self, turn: &Turn) -> Result<AgentSettings> {
        let session = self.store.session(&turn.session)?;
        let config = self.base.config.current();
        let conversation =
            session.conversation.as_ref().map(|conversation| conversation.conversation.as_str());
        let name = config.agent_for(session.agent.as_deref(), &session.channel, conversation);
        config.agent(name).ok_or_else(|| {
            let all: Vec<String> = config.agents().map(|agent| agent.name).collect();
            let message = format!("There is no agent {name} any more; there are: {}", all.join(", "));
            failure::agent_is_down(Error::conflict(message), name)
        })
    }

    /// What the person of a turn is told by the kernel: in the language of the agent, where its table names one, or in the
    /// person's own.
    pub(super) fn words(&self, turn: &Turn) -> &'static Words {
        let agent = self.agent_of(turn).ok();
        if let Some(language) = agent.as_ref().and_then(AgentSettings::language) {
            return words::of(Some(language));
        }
        let heard = turn.inbound.as_ref().and_then(|inbound| inbound.language.clone());
        let known = || self.store.session(&turn.session).ok().and_then(|session| session.language);
        words::of(heard.or_else(known).as_deref())
    }
}

/// A turn at work, and what it works with.
pub(super) struct Work<'a> {
    /// What it is run with.
    pub(super) services: &'a Services,
    /// The turn.
    pub(super) turn: &'a Turn,
    /// Where its reply goes as it comes.
    pub(super) reply: &'a ReplyStream,
    /// How long it has worked.
    pub(super) timer: &'a WorkTimer,
    /// Wakes it when something about it has changed in the store.
    pub(super) wakeup: Wakeup,
    /// Where it is in a trace; none where nothing is noted.
    pub(super) trace: Option<TraceContext>,
}

impl Work<'_> {
    /// Begins a span of the turn.
    pub(super) fn span(&self, kind: Kind, name: impl FnOnce() -> String) -> Span {
        self.services.base.traces.within(self.trace, kind, name)
    }

    /// What its person is told by the kernel.
    pub(super) fn words(&self) -> &'static Words {
        self.services.words(self.turn)
    }
}
