//! Routes that plugins serve: `/ext/<plugin>/`, and the prefixes of paths that they are granted.

use std::sync::Arc;

use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::header::{
    ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_SECURITY_POLICY, COOKIE, EXPECT, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHORIZATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use hyper::{Request, Response, Uri};

use crate::gateway::Gateway;
use prx_base::error::{Code, Error, Result};
use prx_host::manifest::RouteScope;
use prx_host::{Generation, Makes, RouteBody};
use prx_http::{Access, BrokenOff, Call, Caller, Mounted, Reply, Scope};
use prx_store::BlobLimits;

mod conversation;
mod turns;

/// Who calls: the id of a token, or `owner`. Nobody without a token has it.
const CALLER: HeaderName = HeaderName::from_static("x-prx-caller");
/// What the caller's token is good for, with spaces between.
const SCOPES: HeaderName = HeaderName::from_static("x-prx-scopes");
/// What stood before the path that the plugin reads.
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// What the names of the gateway's own headers begin with.
const OWN: &str = "x-prx-";
/// Credentials for the gateway, and what is between it and its client.
const NOT_PASSED_ON: [HeaderName; 9] =
    [AUTHORIZATION, CONNECTION, COOKIE, EXPECT, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
/// What no plugin says for the whole gateway, or to the proxy in front of it.
const NOT_ANSWERED: [HeaderName; 10] = [
    ALT_SVC,
    CONNECTION,
    SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
];
/// What the names of more of them begin with.
const NOT_ANSWERED_PREFIXES: [&str; 4] = ["access-control-", "x-accel-", "x-ratelimit-", "x-sendfile"];
/// A page of a plugin that did not come with the gateway is of no origin: it can't read what pages of the gateway keep.
const SANDBOX: HeaderValue =
    HeaderValue::from_static("sandbox allow-scripts allow-forms allow-popups allow-downloads");

/// The route of a path, if a plugin serves it.
pub(super) fn find(gateway: &Gateway, path: &str) -> Option<Mounted<Gateway>> {
    let (generation, at) = gateway.plugins.route(path)?;
    let (scope, is_public) = generation.route_access();
    let scope = match scope {
        RouteScope::ToolsWrite => Scope::TOOLS_WRITE,
        RouteScope::ToolsRead => Scope::TOOLS_READ,
        RouteScope::SessionsWrite => Scope::SESSIONS_WRITE,
        RouteScope::SessionsRead => Scope::SESSIONS_READ,
        RouteScope::Admin => Scope::ADMIN,
    };
    Some(Mounted {
        plugin: generation.name().to_owned(),
        access: if is_public { Access::Optional(scope) } else { Access::Scope(scope) },
        handler: Arc::new(move |gateway, call| serve(gateway, Arc::clone(&generation), at, call).boxed()),
    })
}

/// Has a plugin answer. What its path begins with up to `at` is not for it to read.
async fn serve(gateway: Arc<Gateway>, generation: Arc<Generation>, at: usize, call: Call) -> Result<Reply> {
    let Call { caller, method, uri, headers, body, hung_up, .. } = call;
    let (trace, plugin) = (prx_http::trace_context(&headers), generation.name().to_owned());
    let body = body.stream().await?;
    let unread = body.failure();
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = own_part(&uri, at)?;
    *request.headers_mut() = passed_on(headers, &caller, &uri.path()[..at])?;
    let (plugins, served) = (gateway.plugins.clone(), Arc::clone(&generation));
    let ended = move |outcome: Result<(), &prx_host::CallError>| plugins.report(&served, outcome);
    let limits = BlobLimits::from(&gateway.base.config.current().store);
    let turns = turns::OfCaller { gateway: Arc::clone(&gateway), caller, plugin, trace };
    let scope = prx_host::Scope {
        makes: Some(Makes { channel: generation.name().to_owned(), limits }),
        turns: Some(Arc::new(turns)),
        ..prx_host::Scope::default()
    };
    let answered = tokio::select! {
        answered = generation.code.serve(request, scope, ended) => answered,
        () = hung_up.cancelled() => return Err(Error::new(Code::Unavailable, "The client has hung up")),
    };
    match (answered, unread.error()) {
        // It is the client's doing, whatever the plugin makes of that.
        (Err(_), Some(unread)) => Err(unread),
        (Ok(answer), Some(unread)) if answer.status().is_server_error() => Err(unread),
        (Err(error), None) => Err(error.into_error(generation.name())),
        (Ok(answer), _) => Ok(reply(answer, &generation)),
    }
}

/// The part of an address that a plugin reads.
fn own_part(uri: &Uri, at: usize) -> Result<Uri> {
    let whole = uri.path_and_query().map_or("/", |whole| whole.as_str());
    let part = whole.get(at..).unwrap_or_default();
    let part = if part.starts_with('/') { part.to_owned() } else { format!("/{part}") };
    part.parse().map_err(Error::internal)
}

/// The headers of a request as a plugin is shown them: without credentials, and with who calls.
fn passed_on(mut headers: HeaderMap, caller: &Caller, prefix: &str) -> Result<HeaderMap> {
    let own: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(OWN)).cloned().collect();
    for name in own.iter().chain(&NOT_PASSED_ON).chain([&PREFIX]) {
        headers.remove(name);
    }
    let mut say = |name: HeaderName, text: &str| -> Result<()> {
        headers.insert(name, HeaderValue::from_str(text).map_err(Error::internal)?);
        Ok(())
    };
    match caller {
        Caller::Owner => {
            say(CALLER, "owner")?;
            say(SCOPES, Scope::ADMIN.as_str())?;
        }
        Caller::Token { id, scopes } => {
            let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
            say(CALLER, id)?;
            say(SCOPES, &scopes.join(" "))?;
        }
        Caller::Anyone => {}
    }
    if !prefix.is_empty() {
        say(PREFIX, prefix)?;
    }
    if !headers.contains_key(HOST) {
        headers.insert(HOST, HeaderValue::from_static("localhost"));
    }
    Ok(headers)
}

fn reply(answer: Response<RouteBody>, generation: &Arc<Generation>) -> Reply {
    let plugin = generation.name().to_owned();
    let mut answer = answer.map(|body| {
        body.map_err(move |error| {
            tracing::warn!(plugin, "the answer of a route broke off: {error}");
            BrokenOff
        })
    });
    let headers = answer.headers_mut();
    let is_ours = |name: &HeaderName| {
        NOT_ANSWERED.contains(name)
            || NOT_ANSWERED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
    };
    let ours: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    if !generation.bundled {
        headers.append(CONTENT_SECURITY_POLICY, SANDBOX);
    }
    Reply::routed(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_reads_its_part_of_an_address() {
        let part = |uri: &str, at| own_part(&uri.parse().unwrap(), at).unwrap().to_string();
        assert_eq!(part("/ext/links/a%2Fb?x=%20&y", 10), "/a%2Fb?x=%20&y");
        assert_eq!(part("/ext/links?x", 10), "/?x");
        assert_eq!(part("/ext/links", 10), "/");
        assert_eq!(part("/v1/models", 0), "/v1/models");
    }

    #[test]
    fn nobody_says_who_calls_but_the_gateway() {
        let mut sent = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer prx_a_b"),
            ("cookie", "a=b"),
            ("x-prx-caller", "owner"),
            ("x-prx-anything", "x"),
            ("x-forwarded-prefix", "/elsewhere"),
            ("accept", "*/*"),
        ] {
            sent.insert(name, HeaderValue::from_static(value));
        }
        let names = |headers: &HeaderMap| {
            let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
            names.sort();
            names.join(" ")
        };
        let anyone = passed_on(sent.clone(), &Caller::Anyone, "").unwrap();
        assert_eq!(names(&anyone), "accept host");
        let token = Caller::Token { id: "01a".into(), scopes: vec![Scope::TOOLS_READ, Scope::TOOLS_WRITE] };
        let known = passed_on(sent, &token, "/ext/links").unwrap();
        assert_eq!(names(&known), "accept host x-forwarded-prefix x-prx-caller x-prx-scopes");
        assert_eq!(known[CALLER], "01a");
        assert_eq!(known[SCOPES], "tools:read tools:write");
        assert_eq!(known[PREFIX], "/ext/links");
    }
}
