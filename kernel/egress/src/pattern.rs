//! Origins as manifests and grants name them: one, or those of a domain.

use std::fmt;

use url::Host;

use super::origin::{InvalidUrl, Origin};

/// One origin, or with `*.` in front of its name every one that has exactly one label in that place:
/// `https://*.example.com` is `https://a.example.com`, and neither `https://example.com` nor
/// `https://a.b.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    origin: Origin,
    below: bool,
}

impl Pattern {
    /// Reads a pattern. A WebSocket's `wss://` is `https://`, its `ws://` is `http://`.
    ///
    /// # Errors
    /// The text is no origin, or its star stands before something other than a name of at least two labels.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let Some((scheme, domain)) = text.split_once("://*.") else {
            return Origin::parse(text).map(Self::from);
        };
        let origin = Origin::parse(&format!("{scheme}://{domain}"))?;
        match origin.host() {
            Host::Domain(name) if name.contains('.') => Ok(Self { origin, below: true }),
            _ => Err(InvalidUrl("a star stands only before a domain, as in https://*.example.com")),
        }
    }

    /// Whether it is one origin and no other.
    pub fn is_exact(&self) -> bool {
        !self.below
    }

    /// Whether `origin` is meant.
    pub fn covers(&self, origin: &Origin) -> bool {
        if !self.below {
            return self.origin == *origin;
        }
        let (Host::Domain(name), Host::Domain(domain)) = (origin.host(), self.origin.host()) else {
            return false;
        };
        let below = name.split_once('.').is_some_and(|(_, rest)| rest == domain);
        below && origin.is_https() == self.origin.is_https() && origin.port() == self.origin.port()
    }

    /// Whether everything that `other` means is meant.
    pub fn includes(&self, other: &Self) -> bool {
        if other.below { self == other } else { self.covers(&other.origin) }
    }
}

impl From<Origin> for Pattern {
    fn from(origin: Origin) -> Self {
        Self { origin, below: false }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin.to_string();
        match origin.split_once("://").filter(|_| self.below) {
            Some((scheme, rest)) => write!(f, "{scheme}://*.{rest}"),
            None => f.write_str(&origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn covers(pattern: &str, origin: &str) -> bool {
        self::pattern(pattern).covers(&Origin::parse(origin).unwrap())
    }

    #[test]
    fn a_star_is_one_label_of_that_domain() {
        let star = "https://*.example.com";
        assert!(covers(star, "https://a.example.com") && covers(star, "wss://a-1.EXAMPLE.com:443"));
        for other in [
            "https://example.com",
            "https://a.b.example.com",
            "https://aexample.com",
            "https://a.example.com.evil.test",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://1.2.3.4",
        ] {
            assert!(!covers(star, other), "{other}");
        }
        assert!(covers("wss://*.example.com:8443", "https://a.example.com:8443"));
    }

    #[test]
    fn a_star_stands_before_a_domain_and_nowhere_else() {
        for text in [
            "https://*",
            "https://*.",
            "https://*.com",
            "https://a.*.example.com",
            "https://*a.example.com",
            "https://*.*.example.com",
            "https://*.127.0.0.1",
            "https://*.[::1]",
            "https://*.example.com/path",
            "*.example.com",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_narrower_is_included() {
        let (star, one) = (pattern("https://*.example.com"), pattern("https://a.example.com"));
        assert!(star.includes(&one) && star.includes(&star) && one.includes(&one));
        assert!(!one.includes(&star) && !star.includes(&pattern("https://*.a.example.com")));
    }

    #[test]
    fn it_is_shown_as_it_is_written() {
        for text in ["https://*.example.com", "http://*.example.com:8080", "https://a.example.com"] {
            assert_eq!(pattern(text).to_string(), text);
        }
    }
}
