//! What everything else in the gateway stands on.

pub mod clock;
pub mod config;
pub mod error;
pub mod events;
pub mod logs;
pub mod signature;
