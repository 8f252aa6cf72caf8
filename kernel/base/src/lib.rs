//! The ground of the gateway: its clock, its errors, its configuration, its events, its logs, and the signatures of
//! webhooks. It stands on no other crate of the gateway.
//!
//! It promises that
//! - all time comes from [`clock`], which tests can stop and move;
//! - an [`error`] has one code, one status and a message that says what to do; its cause stays in the log;
//! - a [`config`] in force was checked key by key; a change of it is applied whole or not at all, and keeps the file's
//!   comments; a secret in it is shown nowhere;
//! - [`logs`] and [`events`] are bounded, and whoever is too slow for them learns what was missed.
//!
//! It never opens a connection, and writes no file but the configuration's.

pub mod clock;
pub mod config;
pub mod error;
pub mod events;
pub mod heap;
pub mod issue;
pub mod logs;
pub mod meter;
pub mod signature;
pub mod text;
pub mod traces;
pub mod watcher;

use self::clock::Clock;
use self::config::Live;
use self::events::Events;
use self::meter::Meter;
use self::traces::Traces;

/// What every service is started with: a cheap-clone handle each.
#[derive(Debug, Clone)]
pub struct Base {
    /// The time.
    pub clock: Clock,
    /// The configuration in force.
    pub config: Live,
    /// What happens in the gateway, for whoever listens.
    pub events: Events,
    /// What happens, counted and timed.
    pub meter: Meter,
    /// What turns consist of, for a collector of the operator's.
    pub traces: Traces,
}

impl Base {
    /// What services are started with, and nothing counted yet.
    pub fn new(clock: Clock, config: Live, events: Events) -> Self {
        let traces = Traces::new(clock.clone());
        Self { clock, config, events, meter: Meter::default(), traces }
    }
}
