//! What plugins do without being asked: **jobs** at the times that their manifests name, and **observers** when something
//! has happened.
//!
//! A run is noted before it begins and when it has ended, and what it does, its **actions**, takes effect with the second
//! note. A crash in between has the run made once more under the same id. A plugin has one run at a time, so that no job
//! runs twice at once and its storage is not changed by two; other plugins' runs go on beside it.
//!
//! Observers read the log of events, each from its own **cursor**. What one does about a batch takes effect with the note of
//! how far it has come, so a restart repeats one batch at most. One that fails is told the same again, with backoff.

pub use self::actors::Actors;
pub use self::jobs::{JobStatus, Jobs};
pub use self::lanes::Lanes;
pub use self::observers::Observers;

mod actions;
mod actors;
mod jobs;
mod lanes;
mod observers;
mod tasks;
