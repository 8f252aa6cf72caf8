//! The API: the whole route table, and one file for each of its sections.

use std::sync::Arc;

use hyper::Method;
use tokio::net::TcpListener;

use crate::http::{self, Access, BadTable, Front, OwnerSocket, Route, Router, Scope};
use crate::kernel::Kernel;

mod channels;
mod config;
mod events;
mod hooks;
mod logs;
mod mcp;
mod messages;
mod plugins;
mod sessions;
mod skills;
mod status;
pub(crate) mod tokens;
mod tools;

/// Every route there is: its method, its path, who may call it, and what answers.
#[rustfmt::skip]
pub fn table() -> Vec<Route<Kernel>> {
    use Scope as S;
    vec![
        post("/api/v1/sessions", S::SESSIONS_WRITE, sessions::create),
        get("/api/v1/sessions", S::SESSIONS_READ, sessions::list),
        get("/api/v1/sessions/{id}", S::SESSIONS_READ, sessions::show),
        delete("/api/v1/sessions/{id}", S::SESSIONS_WRITE, sessions::end),
        post("/api/v1/sessions/{id}/messages", S::SESSIONS_WRITE, messages::send),
        get("/api/v1/sessions/{id}/messages", S::SESSIONS_READ, messages::list),

        get("/api/v1/channels", S::CHANNELS_READ, channels::list),
        post("/api/v1/channels/{name}/restart", S::CHANNELS_WRITE, channels::restart),
        get("/api/v1/channels/{name}/health", S::CHANNELS_READ, channels::health),

        get("/api/v1/mcp", S::MCP_READ, mcp::list),
        post("/api/v1/mcp/{name}/reconnect", S::MCP_WRITE, mcp::reconnect),
        post("/mcp", S::MCP_WRITE, mcp::serve),

        get("/api/v1/hooks", S::HOOKS_READ, hooks::list),
        post("/api/v1/hooks", S::HOOKS_WRITE, hooks::create),
        delete("/api/v1/hooks/{id}", S::HOOKS_WRITE, hooks::remove),
        get("/api/v1/hooks/{id}/deliveries", S::HOOKS_READ, hooks::deliveries),
        post("/api/v1/hooks/{id}/test", S::HOOKS_WRITE, hooks::test),
        post("/api/v1/hooks/{id}/deliveries/{delivery}/replay", S::HOOKS_WRITE, hooks::replay),

        get("/api/v1/plugins", S::PLUGINS_READ, plugins::list),
        post("/api/v1/plugins", S::PLUGINS_WRITE, plugins::install),
        get("/api/v1/plugins/{name}", S::PLUGINS_READ, plugins::show),
        put("/api/v1/plugins/{name}", S::PLUGINS_WRITE, plugins::replace),
        delete("/api/v1/plugins/{name}", S::PLUGINS_WRITE, plugins::remove),
        post("/api/v1/plugins/{name}/reload", S::PLUGINS_WRITE, plugins::reload),
        post("/api/v1/plugins/{name}/disable", S::PLUGINS_WRITE, plugins::disable),
        post("/api/v1/plugins/{name}/enable", S::PLUGINS_WRITE, plugins::enable),
        post("/api/v1/plugins/{name}/rollback", S::PLUGINS_WRITE, plugins::rollback),

        get("/api/v1/skills", S::SKILLS_READ, skills::list),

        get("/api/v1/tools", S::TOOLS_READ, tools::list),
        post("/api/v1/tools/{name}/call", S::TOOLS_WRITE, tools::call),

        get("/api/v1/status", S::STATUS_READ, status::show),
        open("/api/v1/status/health", status::health),
        open("/livez", status::live),
        open("/readyz", status::ready),

        get("/api/v1/config", S::CONFIG_READ, config::show),
        patch("/api/v1/config", S::CONFIG_WRITE, config::update),

        get("/api/v1/logs", S::LOGS_READ, logs::list),
        get("/api/v1/logs/stream", S::LOGS_READ, logs::stream),
        get("/api/v1/events", S::EVENTS_READ, events::stream),

        post("/api/v1/auth/tokens", S::ADMIN, tokens::create),
        get("/api/v1/auth/tokens", S::ADMIN, tokens::list),
        delete("/api/v1/auth/tokens/{id}", S::ADMIN, tokens::revoke),
    ]
}

/// Serves the API on both doors until `stop` ends and requests in flight are answered.
///
/// # Errors
/// The route table can't be served.
pub async fn serve(
    kernel: Arc<Kernel>,
    network: TcpListener,
    owner: OwnerSocket,
    stop: impl Future<Output = ()>,
) -> Result<(), BadTable> {
    let parts = http::Parts {
        store: kernel.store.clone(),
        config: kernel.config.clone(),
        clock: kernel.clock.clone(),
    };
    // Streams without an end of their own end now: who follows something is no request in flight.
    let stopping = kernel.stopping.clone();
    let stop = async move {
        stop.await;
        stopping.cancel();
    };
    let front = Arc::new(Front::new(kernel, Router::new(table())?, parts));
    http::serve(network, owner, front, stop).await;
    Ok(())
}

macro_rules! methods {
    ($($name:ident = $method:ident,)*) => {$(
        fn $name<F, A>(path: &'static str, scope: Scope, handler: F) -> Route<Kernel>
        where
            F: Fn(Arc<Kernel>, http::Call) -> A + Send + Sync + 'static,
            A: Future<Output = crate::error::Result<http::Reply>> + Send + 'static,
        {
            Route::new(Method::$method, path, Access::Scope(scope), handler)
        }
    )*};
}

methods! { get = GET, post = POST, put = PUT, patch = PATCH, delete = DELETE, }

/// A route that needs no token.
fn open<F, A>(path: &'static str, handler: F) -> Route<Kernel>
where
    F: Fn(Arc<Kernel>, http::Call) -> A + Send + Sync + 'static,
    A: Future<Output = crate::error::Result<http::Reply>> + Send + 'static,
{
    Route::new(Method::GET, path, Access::Public, handler)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_served() {
        Router::new(table()).expect("no two lines exclude each other");
    }
}
