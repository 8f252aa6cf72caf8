//! What a request may be addressed to: scheme, host and port, nothing finer.

use std::fmt;

use url::{Host, Url};

use super::address::is_public;

/// Scheme, host and port of an HTTP server. Two are equal only if all three are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    tls: bool,
    host: Host<String>,
    port: u16,
}

/// Why a text is no URL, or no origin. Never repeats any of the text, for it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidUrl(pub(super) &'static str);

impl Origin {
    /// Reads an origin alone, for example `https://api.example.com` or `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// The text is no URL that [`Origin::reached_by`] takes, or it names more than an origin.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let url = parse_url(text)?;
        if url.path() != "/" || url.query().is_some() || text.contains('#') {
            return Err(InvalidUrl("an origin is scheme://host or scheme://host:port, without a path"));
        }
        Self::of(&url)
    }

    /// The origin of a whole URL.
    ///
    /// # Errors
    /// The text is no absolute http or https URL, names a user, or has characters that belong in no URL.
    pub fn of_url(text: &str) -> Result<Self, InvalidUrl> {
        let url = parse_url(text)?;
        HTTP.check(&url)?;
        Self::of(&url)
    }

    /// The origin that a URL leads to, be it a request's or a WebSocket's: `wss://a.example` is the same place as
    /// `https://a.example`.
    ///
    /// # Errors
    /// As for [`Origin::of_url`], but for the schemes ws and wss.
    pub fn reached_by(text: &str) -> Result<Self, InvalidUrl> {
        Self::of(&parse_url(text)?)
    }

    pub(super) fn of(url: &Url) -> Result<Self, InvalidUrl> {
        let host = url.host().ok_or(InvalidUrl("the URL names no host"))?.to_owned();
        if let Host::Domain(name) = &host
            && !is_name(name)
        {
            return Err(InvalidUrl("the URL's host is neither a DNS name nor an address"));
        }
        match url.port_or_known_default() {
            None | Some(0) => Err(InvalidUrl("the URL names no port that can be reached")),
            Some(port) => Ok(Self { tls: matches!(url.scheme(), "https" | "wss"), host, port }),
        }
    }

    /// Whether it is reached over TLS.
    pub fn is_https(&self) -> bool {
        self.tls
    }

    /// Whether it is plain from the text alone that this is no place on the public internet: a loopback, private or
    /// otherwise special address, or `localhost`. Other names show what they are only when they are resolved.
    pub fn is_inside(&self) -> bool {
        match &self.host {
            Host::Ipv4(address) => !is_public((*address).into()),
            Host::Ipv6(address) => !is_public((*address).into()),
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    pub(super) fn host(&self) -> &Host<String> {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What the `Host` header says: the port only where it isn't the scheme's own.
    pub(super) fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// What URLs may be of, without TLS and with it.
pub(super) struct Schemes {
    names: [&'static str; 2],
    other: InvalidUrl,
}

pub(super) const HTTP: Schemes =
    Schemes { names: ["http", "https"], other: InvalidUrl("the URL's scheme is neither http nor https") };
pub(super) const WEBSOCKET: Schemes =
    Schemes { names: ["ws", "wss"], other: InvalidUrl("the URL's scheme is neither ws nor wss") };

impl Schemes {
    /// Whether a URL is one of these.
    pub(super) fn check(&self, url: &Url) -> Result<(), InvalidUrl> {
        if self.has(url.scheme()) { Ok(()) } else { Err(self.other) }
    }

    fn has(&self, scheme: &str) -> bool {
        self.names.contains(&scheme)
    }
}

/// Where the host part of `text` ends, so that what follows can't change the origin any more. `None` while it
/// may still go on.
pub(super) fn origin_end(text: &str) -> Option<usize> {
    let start = text.find("://")? + 3;
    text[start..].find(['/', '?', '#']).map(|length| start + length)
}

/// Reads a URL more strictly than browsers do: what two parsers might read differently is refused.
pub(super) fn parse_url(text: &str) -> Result<Url, InvalidUrl> {
    if text.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'\\') {
        return Err(InvalidUrl(
            "the URL has spaces, control characters, backslashes or characters beyond ASCII",
        ));
    }
    let (scheme, _) = text.split_once("://").ok_or(InvalidUrl("the URL is not absolute"))?;
    if ![HTTP, WEBSOCKET].iter().any(|schemes| schemes.has(&scheme.to_ascii_lowercase())) {
        return Err(HTTP.other);
    }
    let authority = &text[scheme.len() + 3..origin_end(text).unwrap_or(text.len())];
    if authority.is_empty() {
        return Err(InvalidUrl("the URL names no host"));
    }
    if authority.contains('@') {
        return Err(InvalidUrl("the URL names a user; credentials belong in a header"));
    }
    let mut url = Url::parse(text).map_err(|_| InvalidUrl("the URL is malformed"))?;
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_exact() {
        let origin = Origin::parse("https://api.example.com").unwrap();
        assert_eq!(origin, Origin::parse("HTTPS://API.example.com:443/").unwrap());
        assert_eq!(origin, Origin::of_url("https://api.example.com/v1?x=1#top").unwrap());
        assert_ne!(origin, Origin::parse("http://api.example.com:443").unwrap());
        assert_ne!(origin, Origin::parse("https://api.example.com:8443").unwrap());
        assert_ne!(origin, Origin::parse("https://example.com").unwrap());
        assert_eq!(origin.to_string(), "https://api.example.com");
        assert_eq!(Origin::parse("http://[::1]:8080").unwrap().to_string(), "http://[::1]:8080");
    }

    #[test]
    fn a_websocket_leads_to_the_same_place_as_a_request() {
        let origin = Origin::parse("https://a.example").unwrap();
        assert_eq!(Origin::parse("wss://a.example").unwrap(), origin);
        assert_eq!(Origin::reached_by("wss://a.example:443/?v=10").unwrap(), origin);
        assert_eq!(
            Origin::reached_by("ws://a.example/").unwrap(),
            Origin::parse("http://a.example").unwrap()
        );
        assert!(Origin::of_url("wss://a.example/").is_err(), "no request is sent there");
    }

    #[test]
    fn an_origin_has_nothing_after_the_port() {
        for text in ["https://a.example/v1", "https://a.example?x", "https://a.example#x"] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn doubtful_urls_are_refused() {
        let doubtful = [
            "",
            "a.example",
            "//a.example/",
            "https:a.example",
            "https:/a.example",
            "https:///a.example",
            "https://",
            "https://?x",
            "https://user@a.example/",
            "https://user:password@a.example/",
            "https://@a.example/",
            "https://a.example\\@b.example/",
            "https://a.example/\r\nHost: b",
            "https://a.exa\tmple/",
            "https://a.example/with space",
            "https://ä.example/",
            "https://a.example:99999/",
            "https://a.example:0/",
            "https://[::1/",
            "https://*.example.com",
            "https://a.example./",
            "https://a..example/",
            "https://a%00.example/",
            "ftp://a.example/",
            "file:///etc/passwd",
        ];
        for text in doubtful {
            assert!(Origin::of_url(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn what_lies_inside_is_seen_where_the_text_says_so() {
        for text in
            ["http://127.1", "http://10.0.0.8:80", "http://[::1]", "http://LOCALHOST", "http://a.localhost"]
        {
            assert!(Origin::parse(text).unwrap().is_inside(), "{text}");
        }
        for text in ["http://8.8.8.8", "https://example.com", "http://localhost.example"] {
            assert!(!Origin::parse(text).unwrap().is_inside(), "{text}");
        }
    }

    #[test]
    fn every_notation_of_an_address_is_that_address() {
        let plain = Origin::parse("http://127.0.0.1").unwrap();
        for text in ["http://2130706433", "http://0x7f.1", "http://0177.0.0.1", "http://127.1"] {
            assert_eq!(Origin::parse(text).unwrap(), plain, "{text}");
        }
    }
}
