//! `plugin.toml`: what a plugin says about itself and what it asks for. Asking is all it can do.

mod parse;
mod routes;
mod schedule;
mod schema;
mod settings;
mod tables;
mod template;
mod values;
mod verification;

pub use self::parse::ManifestError;
pub(crate) use self::routes::{MAX_ROUTE_DEPTH, check as check_paths};
pub use self::routes::{RouteScope, Routes};
pub use self::schedule::{Schedule, Times};
pub use self::schema::{
    About, Agent, Channel, Events, Extends, Feature, Instance, Key, Limits, Manifest, MemoryAccess,
    Permissions, Provider, Requires, Type,
};
pub use self::settings::PluginConfig;
pub use self::template::{Piece, Template};
pub(crate) use self::values::{PLACE_RULE, is_place};
pub use self::values::{format_size, parse_size, valid_name};
pub use self::verification::{Challenge, Encoding, Scheme, Verification};

#[cfg(test)]
mod tests;
