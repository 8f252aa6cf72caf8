//! Components: what they are, what they may do, and how they come, change and go while everything runs.
//! Compiled once, linked to what they are granted and to nothing else, called within limits.

pub mod bindings;
pub mod grants;
pub mod inspect;
pub mod manifest;
pub mod memory;
pub mod signature;

mod attachment;
mod bundled;
mod cache;
mod call;
mod candidate;
mod catalog;
mod compiler;
mod component;
mod connector;
mod cpu_slots;
mod delta_sink;
mod dry_run;
mod engine;
mod fetch;
mod files;
mod filters;
mod folder;
mod generation;
mod imports;
mod instance;
mod journal;
mod known;
mod leftovers;
mod lifecycle;
mod limits;
mod links;
mod load;
mod local_skills;
mod lock;
mod meter;
mod placing;
mod preview;
mod provenance;
mod registry;
mod review;
mod rights;
mod route;
mod route_table;
mod scope;
mod services;
mod share;
mod start;
mod trust;
mod tunables;
mod turn_handle;
mod versions;
mod watch;
mod withdraw;

pub use self::bundled::Bundled;
pub use self::call::CallError;
pub use self::catalog::{
    Delivery, Placed, PluginAbout, PluginStatus, SkillEntry, Standing, Status, ToolEntry, TriedCode,
};
pub use self::compiler::{COMPILE, CompileError, Compiler, run_compiler};
pub use self::component::{Code, Description};
pub use self::connector::Connector;
pub use self::dry_run::{Checked, DryRun};
pub use self::engine::{Artifact, Engine};
pub use self::filters::{Filters, Passed, Stopped};
pub use self::generation::Generation;
pub use self::journal::{Journal, Level};
pub use self::known::{Known, Unknown, on_disk};
pub use self::leftovers::Purged;
pub use self::limits::{Limits, MAX_MEMORY_BYTES};
pub use self::links::{LinkError, Links};
pub use self::local_skills::LocalSkill;
pub use self::lock::{Installed, UPLOAD};
pub use self::preview::{Look, Preview};
pub use self::provenance::Provenance;
pub use self::registry::{Options, Plugins, Progress};
pub use self::review::Review;
pub use self::rights::{Denied, Rights};
pub use self::route::RouteBody;
pub use self::scope::{CallerTurns, FollowedTurn, Makes, Scope, Transcript, WantedTurn};
pub use self::services::Services;
pub use self::trust::check_settings;
pub use self::watch::Watch;

#[cfg(test)]
mod components;
#[cfg(test)]
mod tests;
