//! What plugins do without being asked: **jobs** at the times that their manifests name.
//!
//! A run is noted before it begins and when it has ended, and what it does, its **actions**, takes effect with the second
//! note. A crash in between has the run made once more under the same id. A plugin has one run at a time, so that no job
//! runs twice at once and its storage is not changed by two; other plugins' runs go on beside it.

pub use self::jobs::{JobStatus, Jobs};

mod actions;
mod jobs;
