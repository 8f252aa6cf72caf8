//! The route table.

use std::sync::{Arc, LazyLock};

use hyper::Method;

use super::{
    agents, approvals, audit, blobs, channels, codes, config, events, grants, hooks, inbound, install, jobs,
    logs, mcp, memory, messages, metrics, openapi, plugins, providers, sessions, skills, stats, status,
    store, tokens, tools, users,
};
use crate::gateway::Gateway;
use prx_base::error::Result;
use prx_http::{Access, Call, Reply, Route, Scope};

/// Every route there is: its method, its path, who may call it, and what answers.
#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a line a route: split, it would no longer be the whole table")]
pub fn table() -> Vec<Route<Gateway>> {
    use Scope as S;
    vec![
        post("/api/v1/sessions", S::SESSIONS_WRITE, sessions::create).doc(sessions::CREATE),
        get("/api/v1/sessions", S::SESSIONS_READ, sessions::list).doc(sessions::LIST),
        get("/api/v1/sessions/{id}", S::SESSIONS_READ, sessions::show).doc(sessions::SHOW),
        delete("/api/v1/sessions/{id}", S::SESSIONS_WRITE, sessions::end).doc(sessions::END),
        post("/api/v1/sessions/{id}/messages", S::SESSIONS_WRITE, messages::send).doc(messages::SEND),
        get("/api/v1/sessions/{id}/messages", S::SESSIONS_READ, messages::list).doc(messages::LIST),
        post("/api/v1/sessions/{id}/cancel", S::SESSIONS_WRITE, sessions::cancel).doc(sessions::CANCEL),
        get("/api/v1/sessions/{id}/approvals", S::SESSIONS_READ, approvals::list).doc(approvals::LIST),
        post("/api/v1/sessions/{id}/approvals/{approval}", S::SESSIONS_WRITE, approvals::decide).doc(approvals::DECIDE),
        get("/api/v1/blobs/{id}", S::SESSIONS_READ, blobs::show).doc(blobs::SHOW),

        get("/api/v1/channels", S::CHANNELS_READ, channels::list).doc(channels::LIST),
        post("/api/v1/channels/{name}/restart", S::CHANNELS_WRITE, channels::restart).doc(channels::RESTART).audited("channel.restarted"),
        get("/api/v1/channels/{name}/health", S::CHANNELS_READ, channels::health).doc(channels::HEALTH),
        get("/api/v1/channels/{name}/dead-letters", S::CHANNELS_READ, channels::dead_letters).doc(channels::DEAD_LETTERS),
        post("/api/v1/channels/{name}/dead-letters/{id}/replay", S::CHANNELS_WRITE, channels::replay).doc(channels::REPLAY).audited("dead_letter.replayed"),
        delete("/api/v1/channels/{name}/dead-letters/{id}", S::CHANNELS_WRITE, channels::discard).doc(channels::DISCARD).audited("dead_letter.discarded"),

        get("/in/{channel}", Access::Signed, inbound::receive).doc(inbound::ASK),
        get("/in/{channel}/{*path}", Access::Signed, inbound::receive).doc(inbound::ASK),
        post("/in/{channel}", Access::Signed, inbound::receive).doc(inbound::RECEIVE),
        post("/in/{channel}/{*path}", Access::Signed, inbound::receive).doc(inbound::RECEIVE),

        get("/api/v1/mcp", S::MCP_READ, mcp::list).doc(mcp::LIST),
        post("/api/v1/mcp/{name}/reconnect", S::MCP_WRITE, mcp::reconnect).doc(mcp::RECONNECT).audited("mcp_server.reconnected"),
        post("/api/v1/mcp/{name}/login", S::MCP_WRITE, mcp::login).doc(mcp::LOGIN),
        post("/api/v1/mcp/{name}/login/complete", S::MCP_WRITE, mcp::complete_login).doc(mcp::COMPLETE_LOGIN).audited("mcp_server.logged_in"),
        delete("/api/v1/mcp/{name}/login", S::MCP_WRITE, mcp::logout).doc(mcp::LOGOUT).audited("mcp_server.logged_out"),
        post("/mcp", Access::Either(S::TOOLS_READ, S::TOOLS_WRITE), mcp::serve).doc(mcp::SERVE),

        get("/api/v1/hooks", S::HOOKS_READ, hooks::list).doc(hooks::LIST),
        post("/api/v1/hooks", S::HOOKS_WRITE, hooks::create).doc(hooks::CREATE).audited("hook.created"),
        get("/api/v1/hooks/{id}", S::HOOKS_READ, hooks::show).doc(hooks::SHOW),
        patch("/api/v1/hooks/{id}", S::HOOKS_WRITE, hooks::change).doc(hooks::CHANGE).audited("hook.changed"),
        delete("/api/v1/hooks/{id}", S::HOOKS_WRITE, hooks::remove).doc(hooks::REMOVE).audited("hook.removed"),
        get("/api/v1/hooks/{id}/deliveries", S::HOOKS_READ, hooks::deliveries).doc(hooks::DELIVERIES),
        post("/api/v1/hooks/{id}/test", S::HOOKS_WRITE, hooks::test).doc(hooks::TEST),
        post("/api/v1/hooks/{id}/deliveries/{delivery}/replay", S::HOOKS_WRITE, hooks::replay).doc(hooks::REPLAY).audited("hook.replayed"),

        get("/api/v1/plugins", S::PLUGINS_READ, plugins::list).doc(plugins::LIST),
        post("/api/v1/plugins", S::PLUGINS_WRITE, install::install).doc(install::INSTALL).audited("plugin.installed"),
        get("/api/v1/plugins/{name}", S::PLUGINS_READ, plugins::show).doc(plugins::SHOW),
        put("/api/v1/plugins/{name}", S::PLUGINS_WRITE, install::replace).doc(install::REPLACE).audited("plugin.replaced"),
        delete("/api/v1/plugins/{name}", S::PLUGINS_WRITE, install::remove).doc(install::REMOVE).audited("plugin.removed"),
        post("/api/v1/plugins/{name}/reload", S::PLUGINS_WRITE, plugins::reload).doc(plugins::RELOAD).audited("plugin.reloaded"),
        post("/api/v1/plugins/{name}/disable", S::PLUGINS_WRITE, plugins::disable).doc(plugins::DISABLE).audited("plugin.disabled"),
        post("/api/v1/plugins/{name}/enable", S::PLUGINS_WRITE, plugins::enable).doc(plugins::ENABLE).audited("plugin.enabled"),
        post("/api/v1/plugins/{name}/rollback", S::PLUGINS_WRITE, plugins::rollback).doc(plugins::ROLLBACK).audited("plugin.rolled_back"),
        get("/api/v1/plugins/{name}/verify", S::PLUGINS_READ, plugins::verify).doc(plugins::VERIFY),
        get("/api/v1/plugins/{name}/grants", S::PLUGINS_READ, grants::show).doc(grants::SHOW),
        put("/api/v1/plugins/{name}/grants", S::CONFIG_WRITE, grants::replace).doc(grants::REPLACE).audited("grants.replaced"),

        get("/api/v1/skills", S::SKILLS_READ, skills::list).doc(skills::LIST),

        get("/api/v1/jobs", S::JOBS_READ, jobs::list).doc(jobs::LIST),
        post("/api/v1/jobs/{plugin}/{name}/run", S::JOBS_WRITE, jobs::run).doc(jobs::RUN).audited("job.run"),

        get("/api/v1/agents", S::STATUS_READ, agents::list).doc(agents::LIST),
        get("/api/v1/providers", S::STATUS_READ, providers::list).doc(providers::LIST),
        get("/api/v1/providers/{name}/models", S::STATUS_READ, providers::models).doc(providers::MODELS),

        get("/api/v1/tools", S::TOOLS_READ, tools::list).doc(tools::LIST),
        post("/api/v1/tools/{name}/call", S::TOOLS_WRITE, tools::call).doc(tools::CALL),

        get("/api/v1/memory", S::MEMORY_READ, memory::list).doc(memory::LIST),
        post("/api/v1/memory", S::MEMORY_WRITE, memory::create).doc(memory::CREATE),
        delete("/api/v1/memory/{id}", S::MEMORY_WRITE, memory::remove).doc(memory::REMOVE),

        get("/api/v1/status", S::STATUS_READ, status::show).doc(status::SHOW),
        get("/api/v1/stats", S::STATUS_READ, stats::show).doc(stats::SHOW),
        get("/api/v1/status/health", Access::Health, status::health).doc(status::HEALTH).quiet(),
        get("/livez", Access::Health, status::live).doc(status::LIVE).quiet(),
        get("/readyz", Access::Health, status::ready).doc(status::READY).quiet(),

        get("/api/v1/config", S::CONFIG_READ, config::show).doc(config::SHOW),
        patch("/api/v1/config", S::CONFIG_WRITE, config::update).doc(config::UPDATE).audited("config.updated"),
        get("/api/v1/config/keys", S::CONFIG_READ, config::keys).doc(config::KEYS),

        get("/api/v1/logs", S::LOGS_READ, logs::list).doc(logs::LIST),
        get("/api/v1/logs/stream", S::LOGS_READ, logs::stream).doc(logs::STREAM),
        get("/api/v1/events", S::EVENTS_READ, events::stream).doc(events::STREAM),

        delete("/api/v1/users/{channel}/{user_id}", S::ADMIN, users::erase).doc(users::ERASE).audited("user.erased"),
        post("/api/v1/store/compact", S::ADMIN, store::compact).doc(store::COMPACT).audited("store.compacted"),
        get("/api/v1/store/backup", S::ADMIN, store::back_up).doc(store::BACK_UP).audited("store.backed_up"),
        get("/api/v1/store/check", S::ADMIN, store::check).doc(store::CHECK),
        get("/api/v1/audit", S::AUDIT_READ, audit::list).doc(audit::LIST),

        get("/metrics", S::STATUS_READ, metrics::show).doc(metrics::SHOW).quiet(),
        get("/api/v1/openapi.json", S::STATUS_READ, describe).doc(openapi::SHOW),

        post("/api/v1/auth/tokens", S::ADMIN, tokens::create).doc(tokens::CREATE).audited("token.created"),
        get("/api/v1/auth/tokens", S::ADMIN, tokens::list).doc(tokens::LIST),
        post("/api/v1/auth/codes", Access::Token, codes::make).doc(codes::MAKE),
        post("/api/v1/auth/exchange", Access::Public, codes::exchange).doc(codes::EXCHANGE).audited("token.created"),
        get("/api/v1/auth/self", Access::Token, codes::show_self).doc(codes::SHOW_SELF),
        delete("/api/v1/auth/tokens/{id}", S::ADMIN, tokens::revoke).doc(tokens::REVOKE).audited("token.revoked"),
    ]
}

/// The OpenAPI document of this table.
async fn describe(_: Arc<Gateway>, _: Call) -> Result<Reply> {
    static DOCUMENT: LazyLock<openapi::Document> = LazyLock::new(|| openapi::document(&table()));
    Reply::ok(&*DOCUMENT)
}

macro_rules! methods {
    ($($name:ident = $method:ident,)*) => {$(
        fn $name<F, A>(path: &'static str, access: impl Into<Access>, handler: F) -> Route<Gateway>
        where
            F: Fn(Arc<Gateway>, Call) -> A + Send + Sync + 'static,
            A: Future<Output = Result<Reply>> + Send + 'static,
        {
            Route::new(Method::$method, path, access.into(), handler)
        }
    )*};
}

methods! { get = GET, post = POST, put = PUT, patch = PATCH, delete = DELETE, }

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prx_http::Router;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_can_be_served() {
        Router::new(table()).expect("no two lines exclude each other");
    }

    #[test]
    fn every_route_says_what_it_takes_and_answers() {
        let silent: Vec<_> = table().into_iter().filter(|route| route.doc.is_none()).collect();
        assert!(silent.is_empty(), "add `.doc(section::HANDLER)`, see sessions.rs: {silent:#?}");
    }

    #[test]
    fn who_needs_a_token_is_told_of_401() {
        let document = json!(openapi::document(&table()));
        let paths = document["paths"].as_object().unwrap().values();
        for operation in paths.flat_map(|path| path.as_object().unwrap().values()) {
            let is_open = operation["security"].as_array().unwrap().is_empty();
            let told = operation["responses"].get("401").is_some();
            assert!(is_open || told, "{operation}");
        }
    }

    #[test]
    fn the_document_holds_together() {
        let table = table();
        let document = json!(openapi::document(&table));
        let text = document.to_string();
        for place in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(place).is_some(), "{place} leads nowhere");
        }
        let operations = document["paths"].as_object().expect("paths").values();
        let operations: Vec<_> =
            operations.flat_map(|path| path.as_object().expect("methods").values()).collect();
        assert_eq!(operations.len(), table.len());
        let ids: BTreeSet<_> = operations.iter().map(|operation| operation["operationId"].as_str()).collect();
        assert_eq!(ids.len(), operations.len(), "every operation has a name of its own");
    }

    #[test]
    fn a_session_is_described_as_it_is_shown() {
        let document = json!(openapi::document(&table()));
        let session = &document["components"]["schemas"]["Session"];
        let mut required: Vec<_> = session["required"].as_array().expect("a list").iter().collect();
        required.sort_by_key(|name| name.as_str());
        let shown = [
            "channel",
            "created_at",
            "id",
            "last_activity",
            "metadata",
            "status",
            "token_usage",
            "turn_count",
            "user_id",
        ];
        assert_eq!(required, shown);
    }
}
