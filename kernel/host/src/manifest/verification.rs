//! How a platform shows that its webhooks are its own, as a manifest says it. The gateway checks it, for a connector
//! sees no secret.

use hyper::header::HeaderName;
use serde::{Deserialize, Deserializer};

/// `[channel.webhook]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// What makes a request genuine.
    pub scheme: Scheme,
    /// The configuration key of the secret that both sides know.
    pub secret: String,
    /// The header that shows it; the standard has its own.
    #[serde(default, deserialize_with = "header")]
    pub header: Option<HeaderName>,
    /// What stands before the signature in that header.
    #[serde(default)]
    pub prefix: String,
    /// How the signature is written.
    #[serde(default)]
    pub encoding: Encoding,
}

/// What makes a request genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// The three headers of Standard Webhooks 1.0, at most five minutes old.
    StandardWebhooks,
    /// A header holds the HMAC-SHA256 of the body.
    HmacSha256,
    /// A header holds the secret itself.
    HeaderEquals,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// In hexadecimal digits.
    #[default]
    Hex,
    /// In base64, padded or not.
    Base64,
}

impl Verification {
    /// Whether the fields fit each other. The error says what to do.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match (self.scheme, &self.header) {
            (Scheme::StandardWebhooks, Some(_)) => {
                Err("the standard names its headers itself: leave `header` out")
            }
            (Scheme::HmacSha256 | Scheme::HeaderEquals, None) => Err("name the `header` that shows it"),
            _ => Ok(()),
        }
    }
}

fn header<'de, D: Deserializer<'de>>(input: D) -> Result<Option<HeaderName>, D::Error> {
    let text = String::deserialize(input)?;
    let name = HeaderName::from_bytes(text.as_bytes());
    name.map(Some).map_err(|_| serde::de::Error::custom(format!("{text:?} is no name of a header")))
}
