//! Following a redirect: a new request, which has to pass every check again.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::Response;
use hyper::{Method, StatusCode};
use url::Url;

use super::failure::{Failure, Kind};
use super::origin::{HTTP, Origin, parse_url};
use super::render::{Content, Outgoing};
use super::scrub::Patterns;

/// Describe a body, and go with it.
const OF_THE_BODY: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE];

/// Prove who asks, to one origin only.
const CREDENTIALS: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

/// Where an answer sends its asker, if it does.
pub(super) fn location<B>(response: &Response<B>) -> Option<HeaderValue> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    response.headers().get(header::LOCATION).filter(|_| redirects).cloned()
}

/// The request that `answer` to `hop` asks for. Whether its origin may be reached is still to be checked. What
/// proves the caller's identity, and every secret, stays with the origin it was meant for.
pub(super) fn follow(
    mut hop: Outgoing,
    status: StatusCode,
    location: &HeaderValue,
    secrets: Option<&Arc<Patterns>>,
) -> Result<Outgoing, Failure> {
    let Some((url, origin)) = target(&hop.url, location) else {
        let reason = "it redirects to something that is no usable URL";
        return Err(Failure::sent(Kind::Protocol, &hop.origin, reason));
    };

    let becomes_get = match status {
        StatusCode::SEE_OTHER => hop.method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => hop.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        hop.method = Method::GET;
        hop.content = Content::Whole { bytes: Bytes::new(), secret: false };
        OF_THE_BODY.iter().for_each(|name| drop(hop.headers.remove(name)));
    }
    if origin != hop.origin {
        let in_body = matches!(hop.content, Content::Whole { secret: true, .. });
        if in_body || secrets.is_some_and(|secrets| secrets.are_in(url.as_str().as_bytes())) {
            let reason = format!("it redirects a secret to {origin}");
            return Err(Failure::sent(Kind::Denied, &hop.origin, reason));
        }
        drop_credentials(&mut hop);
    }
    hop.url = url;
    hop.origin = origin;
    Ok(hop)
}

/// The URL that a location means, and its origin; none where it is no URL of a request.
fn target(base: &Url, location: &HeaderValue) -> Option<(Url, Origin)> {
    let joined = base.join(location.to_str().ok()?).ok()?;
    let url = parse_url(joined.as_str()).ok()?;
    HTTP.check(&url).ok()?;
    let origin = Origin::of(&url).ok()?;
    Some((url, origin))
}

fn drop_credentials(hop: &mut Outgoing) {
    let is_secret = |name: &HeaderName| hop.headers.get_all(name).iter().any(HeaderValue::is_sensitive);
    let secret: Vec<HeaderName> = hop.headers.keys().filter(|name| is_secret(name)).cloned().collect();
    secret.iter().chain(&CREDENTIALS).for_each(|name| drop(hop.headers.remove(name)));
}
