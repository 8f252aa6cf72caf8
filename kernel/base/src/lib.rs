//! What everything else in the gateway stands on.

pub mod clock;
pub mod config;
pub mod error;
pub mod events;
pub mod logs;
pub mod signature;
pub mod watcher;

use self::clock::Clock;
use self::config::Live;
use self::events::Events;

/// What every service is started with: a cheap-clone handle each.
#[derive(Debug, Clone)]
pub struct Base {
    /// The time.
    pub clock: Clock,
    /// The configuration in force.
    pub config: Live,
    /// What happens in the gateway, for whoever listens.
    pub events: Events,
}
