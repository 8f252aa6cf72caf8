//! Components: what they are, what they may do, and how they come, change and go while everything runs.

pub mod bundled;
pub mod inspect;
pub mod manifest;
