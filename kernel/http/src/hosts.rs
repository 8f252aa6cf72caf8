//! `Host` and `Origin`: under which names the gateway may be called, and from which web pages.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Request, Version};

use prx_base::config::Gateway;
use prx_base::error::{Code, Error, Result};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How many proxies a request may have come through, one behind the other.
const MAX_PROXIES: usize = 8;

/// The address a request comes from: the other end's, or the one that a trusted proxy there saw. Where that is one of
/// `trusted_proxies`, the one that it saw, and so on; what stands before that was sent by whoever spoke to the first.
pub(super) fn sender(remote: IpAddr, headers: &HeaderMap, gateway: &Gateway) -> IpAddr {
    let values = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let forwarded = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(',').map(str::trim));
    let mut sender = remote;
    let mut trusted = gateway.trusts(remote);
    for seen in forwarded.take(MAX_PROXIES) {
        match address(seen) {
            Some(seen) if trusted => sender = seen,
            _ => break,
        }
        trusted = gateway.is_named_proxy(sender);
    }
    sender
}

/// An address as proxies write it: some add the port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| text.parse().map(|with_port: SocketAddr| with_port.ip()).ok())
}

/// Checks `Host` against the names the gateway has, so that no web page reaches it by a name of its own, and
/// `Origin` against `gateway.cors_origins`. Returns the foreign origin that is let in, if the request has one.
///
/// # Errors
/// 403 for a name or an origin that is not allowed, 400 for a request without exactly one host.
pub(super) fn check<B>(
    local: SocketAddr,
    request: &Request<B>,
    gateway: &Gateway,
) -> Result<Option<HeaderValue>> {
    let authority = authority(request)?;
    if let Some(authority) = authority
        && !is_ours(name(authority), local.ip(), gateway)
    {
        let name = name(authority);
        return Err(refused(format!("Host \"{name}\" is not allowed; add it to gateway.allowed_hosts")));
    }
    let Some(origin) = request.headers().get(ORIGIN) else { return Ok(None) };
    let text = origin.to_str().unwrap_or_default();
    if gateway.cors_origins.iter().any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(text)) {
        return Ok(Some(origin.clone()));
    }
    match text.split_once("://") {
        Some(("http" | "https", own))
            if authority.is_some_and(|authority| authority.eq_ignore_ascii_case(own)) =>
        {
            Ok(None)
        }
        _ => Err(refused(format!("Origin \"{text}\" is not allowed; add it to gateway.cors_origins"))),
    }
}

fn refused(message: String) -> Error {
    Error::new(Code::Forbidden, message)
}

/// The host and port the request is for. HTTP/1.0, which some load balancers still probe with, has none.
fn authority<B>(request: &Request<B>) -> Result<Option<&str>> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let authority = match (hosts.next(), hosts.next(), request.uri().authority()) {
        (_, Some(_), _) => None,
        (_, None, Some(absolute)) => Some(absolute.as_str()),
        (Some(host), None, None) => host.to_str().ok().filter(|host| !host.is_empty()),
        (None, None, None) if request.version() < Version::HTTP_11 => return Ok(None),
        (None, None, None) => None,
    };
    authority.map(Some).ok_or_else(|| Error::bad_request("The request must have exactly one Host header"))
}

/// The name without its port, brackets and final dot. What is no name with a port is left whole, and is nobody's.
fn name(authority: &str) -> &str {
    let (name, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address, port),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = |text: &str| text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return authority;
    }
    name.strip_suffix('.').unwrap_or(name)
}

fn is_ours(host: &str, local: IpAddr, gateway: &Gateway) -> bool {
    if let Ok(address) = host.parse::<IpAddr>()
        && (address.to_canonical() == local.to_canonical() || address.is_loopback())
    {
        return true;
    }
    let named = gateway.allowed_hosts.iter().map(|allowed| name(allowed));
    named.chain(["localhost", &gateway.host]).any(|ours| ours.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(headers: &[(&str, &str)]) -> Result<Option<HeaderValue>> {
        let gateway = Gateway {
            allowed_hosts: vec!["prx.example.com".into()],
            cors_origins: vec!["https://app.example.com".into()],
            ..Gateway::default()
        };
        let request =
            headers.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).expect("a sound request");
        check("127.0.0.1:3120".parse().expect("an address"), &request, &gateway)
    }

    #[test]
    fn a_proxy_says_who_it_speaks_for_and_nobody_else_does() {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("10.0.0.1, 192.0.2.7"));
        let remote = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(sender(remote, &headers, &Gateway::default()), remote);
        let behind = Gateway { behind_proxy: true, ..Gateway::default() };
        assert_eq!(sender(remote, &headers, &behind), IpAddr::from([192, 0, 2, 7]));
        assert_eq!(sender(remote, &HeaderMap::new(), &behind), remote);
        let stranger = IpAddr::from([203, 0, 113, 9]);
        assert_eq!(sender(stranger, &headers, &behind), stranger, "only a private address is the proxy's");
        let proxies = vec!["203.0.113.0/24".into(), "192.0.2.7".into(), "2001:db8::/32".into()];
        let named = Gateway { trusted_proxies: proxies, ..Gateway::default() };
        assert_eq!(sender(remote, &headers, &named), remote);
        assert_eq!(sender(stranger, &headers, &named), IpAddr::from([10, 0, 0, 1]), "through two proxies");
        let mapped = "::ffff:203.0.113.9".parse().expect("an address");
        assert_eq!(sender(mapped, &headers, &named), IpAddr::from([10, 0, 0, 1]));
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("10.0.0.1, nonsense"));
        assert_eq!(sender(stranger, &headers, &named), stranger);
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.7, 10.0.0.1"));
        let inside = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(sender(remote, &headers, &behind), inside, "who is inside is no proxy for that");
        for (said, meant) in
            [("192.0.2.7:5678", "192.0.2.7"), ("[2001:db8::1]:80", "2001:db8::1"), ("[::1]", "::1")]
        {
            let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_static(said))]);
            assert_eq!(sender(remote, &headers, &behind).to_string(), meant);
        }
    }

    #[test]
    fn the_gateways_own_names_are_let_in() {
        for host in [
            "127.0.0.1:3120",
            "localhost",
            "LOCALHOST.:80",
            "[::1]:3120",
            "prx.example.com",
            "PRX.example.com:443",
        ] {
            assert!(checked(&[("host", host)]).is_ok(), "{host}");
        }
    }

    #[test]
    fn another_name_is_refused_and_the_setting_is_named() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "evil.prx.example.com",
            "[::2]",
            "localhost:1@evil.example",
            "localhost@evil.example",
            "[::1]evil.example",
            "[::1]:80evil.example",
            "127.0.0.1:80:evil.example",
            "localhost:3120/",
            "localhost#evil.example",
        ] {
            let error = checked(&[("host", host)]).expect_err(host);
            assert_eq!(error.code(), Code::Forbidden, "{host}");
            assert!(error.message().contains("gateway.allowed_hosts"), "{error}");
        }
    }

    #[test]
    fn there_is_exactly_one_host() {
        for headers in [&[][..], &[("host", "")], &[("host", "localhost"), ("host", "localhost")]] {
            assert_eq!(checked(headers).expect_err("refused").code(), Code::BadRequest, "{headers:?}");
        }
    }

    #[test]
    fn a_foreign_origin_needs_to_be_named() {
        let from = |origin| checked(&[("host", "localhost:3120"), ("origin", origin)]);
        assert!(from("http://localhost:3120").expect("its own").is_none());
        assert_eq!(
            from("https://app.example.com").expect("named").expect("foreign"),
            "https://app.example.com"
        );
        for origin in [
            "file://localhost:3120",
            "ftp://localhost:3120",
            "localhost:3120",
            "http://localhost:3120/",
            "null",
            "http://localhost:5173",
            "https://app.example.com.evil.example",
            "",
        ] {
            assert_eq!(from(origin).expect_err(origin).code(), Code::Forbidden);
        }
    }
}
