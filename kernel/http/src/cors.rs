//! CORS: what a browser is told about a web page of another origin that calls the gateway.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, VARY,
};
use hyper::{Method, Request};

use super::reply::Reply;

/// Whether a request is a preflight: a browser asks what a web page may do before the page does it.
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight at a path that has these methods.
pub(super) fn preflight(allow: &str) -> Reply {
    let headers = "authorization, content-type, idempotency-key, if-match, last-event-id, \
                   mcp-protocol-version, mcp-session-id, x-request-id";
    let reply = Reply::no_content()
        .with(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(headers))
        .with(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    match HeaderValue::from_str(allow) {
        Ok(methods) => reply.with(ACCESS_CONTROL_ALLOW_METHODS, methods),
        Err(_) => reply,
    }
}

/// Lets a web page of that origin read the answer.
pub(super) fn allow_origin(reply: Reply, origin: HeaderValue) -> Reply {
    let exposed = "x-request-id, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, retry-after, etag, mcp-session-id";
    reply
        .with(ACCESS_CONTROL_ALLOW_ORIGIN, origin)
        .with(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed))
        .with(VARY, HeaderValue::from_static("origin"))
}
