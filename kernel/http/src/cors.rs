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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_page_may_speak_mcp() {
        let named = |reply: &Reply, header: &str| -> Vec<String> {
            let value = reply.0.headers()[header].to_str().unwrap();
            value.split(',').map(|name| name.trim().to_owned()).collect()
        };
        let allowed = named(&preflight("POST"), "access-control-allow-headers");
        for header in
            ["mcp-protocol-version", "mcp-session-id", "last-event-id", "authorization", "content-type"]
        {
            assert!(allowed.iter().any(|name| name == header), "{header}: {allowed:?}");
        }
        let reply = allow_origin(Reply::no_content(), HeaderValue::from_static("https://app.test"));
        assert!(named(&reply, "access-control-expose-headers").contains(&"mcp-session-id".to_owned()));
        assert_eq!(reply.0.headers()["access-control-allow-origin"], "https://app.test");
    }
}
