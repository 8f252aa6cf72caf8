//! How a platform shows that its webhooks are its own, as a manifest says it. The gateway checks it, for a connector
//! sees no secret.

use hyper::header::HeaderName;
use serde::{Deserialize, Deserializer};

use super::template::Template;

/// The longest `max_age`, in seconds: a day.
const LONGEST_AGE: u32 = 24 * 60 * 60;
/// Most bytes of the name of a parameter or a member.
const MAX_NAME: usize = 64;

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
    /// What the signature is of; without it, of the body.
    #[serde(default)]
    pub signed: Template,
    /// The header that says when the request was signed, in Unix seconds or milliseconds. Without it, the one header in
    /// `signed`.
    #[serde(default, deserialize_with = "header")]
    pub timestamp: Option<HeaderName>,
    /// How old a request may be, or how early, in seconds; without it, of any age.
    pub max_age: Option<u32>,
    /// How the platform asks whether its webhooks are wanted.
    pub challenge: Option<Challenge>,
}

/// `[channel.webhook] challenge`: a question that the gateway answers itself, with what it asks to have echoed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// Asked with GET: the query parameter that shows the secret.
    pub token: Option<String>,
    /// The configuration key of that secret.
    pub secret: Option<String>,
    /// Asked with a POST that is signed like any other: what `type` is in its JSON.
    pub r#type: Option<String>,
    /// The query parameter, or the member of the JSON, that is the answer, as plain text.
    pub echo: String,
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
            _ => self.check_signed(),
        }
    }

    fn check_signed(&self) -> Result<(), &'static str> {
        let says_more =
            self.signed != Template::default() || self.timestamp.is_some() || self.max_age.is_some();
        if self.scheme != Scheme::HmacSha256 && says_more {
            return Err(
                "`signed`, `timestamp` and `max_age` are for scheme = \"hmac-sha256\": leave them out",
            );
        }
        match (self.max_age, self.timestamp()) {
            (Some(0), _) => return Err("`max_age` is at least 1 second"),
            (Some(LONGEST_AGE..), _) => return Err("`max_age` is less than 86400 seconds, a day"),
            (Some(_), None) => {
                return Err("`max_age` needs the `timestamp` header, which has to be in `signed`");
            }
            (_, Some(name)) if !self.signed.headers().any(|signed| signed == name) => {
                return Err(
                    "the `timestamp` header is worth nothing unless it is signed: put {header:NAME} into `signed`",
                );
            }
            _ => {}
        }
        self.challenge.as_ref().map_or(Ok(()), Challenge::check)
    }

    /// The header that says when a request was signed.
    pub fn timestamp(&self) -> Option<&HeaderName> {
        let mut signed = self.signed.headers();
        let only = signed.next().filter(|_| signed.next().is_none());
        self.timestamp.as_ref().or(only)
    }

    /// The configuration keys of its secrets.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let asked = self.challenge.as_ref().and_then(|challenge| challenge.secret.as_deref());
        [self.secret.as_str()].into_iter().chain(asked)
    }
}

impl Challenge {
    fn check(&self) -> Result<(), &'static str> {
        let names = [self.token.as_ref(), self.r#type.as_ref(), Some(&self.echo)];
        if names.into_iter().flatten().any(|name| name.is_empty() || name.len() > MAX_NAME) {
            return Err("the names in `challenge` have 1 to 64 bytes");
        }
        match (&self.token, &self.secret, &self.r#type) {
            (Some(_), Some(_), None) | (None, None, Some(_)) => Ok(()),
            (_, _, Some(_)) => Err("a `challenge` has either `token` and `secret`, or `type`"),
            _ => Err(
                "a `challenge` needs `token` and `secret` where it is asked with GET, or `type` where it is posted",
            ),
        }
    }
}

fn header<'de, D: Deserializer<'de>>(input: D) -> Result<Option<HeaderName>, D::Error> {
    let text = String::deserialize(input)?;
    let name = HeaderName::from_bytes(text.as_bytes());
    name.map(Some).map_err(|_| serde::de::Error::custom(format!("{text:?} is no name of a header")))
}
