//! A turn at work, as every step of it sees it.

use super::provider_health::ProviderHealth;
use super::stream::ReplyStream;
use super::tool::Tools;
use super::windows::Windows;
use super::work_timer::WorkTimer;
use super::workers::Wakeup;
use prx_base::Base;
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
}
