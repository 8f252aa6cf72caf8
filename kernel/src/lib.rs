//! The gateway as one program: the crates beside this one put together, its API and its command line.

pub mod api;
pub mod backup;
mod bundled;
pub mod cli;
pub mod gateway;
#[cfg(target_os = "linux")]
mod reaper;
mod retention;
pub mod settings;
mod stats;
mod telemetry;
