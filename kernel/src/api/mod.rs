//! The API: one file for each of its sections, and the table of its routes.

use crate::gateway::Gateway;
use prx_http::{BadTable, Router};

pub use self::table::table;

mod agents;
mod approvals;
mod audit;
mod blobs;
mod channels;
mod codes;
mod config;
mod events;
mod ext;
mod grants;
mod hooks;
mod inbound;
mod install;
mod jobs;
mod logs;
mod mcp;
mod memory;
mod messages;
mod metrics;
mod openapi;
mod page;
mod plugins;
mod providers;
mod sessions;
mod since;
mod skills;
mod stats;
mod status;
pub(crate) mod store;
mod table;
pub(crate) mod tokens;
mod tools;
mod users;

/// Serves the API: from the beginning with 503, and through the handlers once they are given a [`Gateway`].
pub type Pipeline = prx_http::Pipeline<Gateway>;

/// The routes of the API, ready to be served.
///
/// # Errors
/// The route table has lines that exclude each other.
pub fn router() -> Result<Router<Gateway>, BadTable> {
    Ok(Router::new(table())?.with_mounts(ext::find))
}
