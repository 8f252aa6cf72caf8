//! The API: one file for each of its sections, and the table of its routes.

use std::sync::Arc;

use crate::gateway::Gateway;
use prx_http::{BadTable, Front, Network, OwnerSocket, Router};

pub use self::table::table;

mod approvals;
mod blobs;
mod channels;
mod config;
mod events;
mod grants;
mod hooks;
mod inbound;
mod logs;
mod mcp;
mod memory;
mod messages;
mod metrics;
mod openapi;
mod page;
mod plugins;
mod sessions;
mod skills;
mod status;
mod table;
pub(crate) mod tokens;
mod tools;

/// Serves the API on both doors until `stop` ends and requests in flight are answered.
///
/// # Errors
/// The route table can't be served.
pub async fn serve(
    gateway: Arc<Gateway>,
    network: Network,
    owner: OwnerSocket,
    stop: impl Future<Output = ()>,
) -> Result<(), BadTable> {
    let parts = prx_http::Parts {
        store: gateway.store.clone(),
        config: gateway.base.config.clone(),
        clock: gateway.base.clock.clone(),
        traffic: gateway.process.traffic.clone(),
    };
    // Streams without an end of their own end now: who follows something is no request in flight.
    let stopping = gateway.process.stopping.clone();
    let stop = async move {
        stop.await;
        stopping.cancel();
    };
    let front = Arc::new(Front::new(gateway, Router::new(table())?, parts));
    prx_http::serve(network, owner, front, stop).await;
    Ok(())
}
