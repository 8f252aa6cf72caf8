//! The request body, with a size limit and a timeout, read field by field with a type.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Body as _;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::reply::OCTETS;
use super::rest::Rest;
use super::streamed::{Streamed, ended_early, too_large};
use prx_base::clock::Clock;
use prx_base::error::{Code, Error, Result};
use prx_base::text::is_format_control;

/// The longest name or id that a request may make up, in characters: it becomes part of many keys, and some are kept in
/// memory.
pub(super) const MAX_NAME_CHARS: usize = 256;
/// How long a body may take to arrive: 30 seconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that may be held at a time of what anonymous callers have sent, before a handler has looked at whether it comes
/// from a platform.
const MAX_ANONYMOUS_BYTES: u64 = 64 << 20;
/// Bytes of a body that is too large that are read and thrown away, so that its sender gets to read why.
const MAX_DISCARDED_BYTES: u64 = 16 << 20;
/// How long such a body is read: 2 seconds.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// A request body that has not been read yet.
#[derive(Debug)]
pub struct Body {
    incoming: Rest,
    content_type: Option<String>,
    /// How it is encoded, where it is.
    encoding: Option<String>,
    expects_continue: bool,
    limit: u64,
    clock: Clock,
    /// Set when the body is read, for whoever asked for it.
    digest: Option<BodyDigest>,
    /// Where the sender is not known: what this body holds of what all such bodies may.
    anonymous: Option<HeldBytes>,
}

/// Bytes that one request holds, of those that may be held in all.
#[derive(Debug)]
struct HeldBytes {
    all: AnonymousBodies,
    bytes: u64,
}

/// How many bytes are held of the bodies of anonymous callers.
pub(super) type AnonymousBodies = Arc<AtomicU64>;

/// The SHA-256 of a body, once it has been read.
pub(super) type BodyDigest = Arc<OnceLock<[u8; 32]>>;

impl Body {
    pub(super) fn new(incoming: Rest, headers: &HeaderMap, limit: u64, clock: Clock) -> Self {
        let content_type = headers.get(CONTENT_TYPE).map(|value| {
            let value = value.to_str().unwrap_or("?");
            value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
        });
        Self {
            incoming,
            content_type,
            encoding: encoding(headers),
            expects_continue: headers.contains_key(EXPECT),
            limit,
            clock,
            digest: None,
            anonymous: None,
        }
    }

    /// Counts what is read among the bodies of anonymous callers, until this is dropped.
    pub(super) fn counted_among(mut self, all: AnonymousBodies) -> Self {
        self.anonymous = Some(HeldBytes { all, bytes: 0 });
        self
    }

    /// Whether it is said to be JSON.
    pub fn is_json(&self) -> bool {
        self.content_type.as_deref().is_some_and(|kind| kind == "application/json" || kind.ends_with("+json"))
    }

    /// The body as a JSON object, within `gateway.max_body_bytes`.
    ///
    /// # Errors
    /// 415 for another content type, 413 for a larger body, 408 for one that takes too long, 400 for anything but
    /// a JSON object.
    pub async fn object(&mut self) -> Result<Fields> {
        let is_json = |kind: &str| kind == "application/json" || kind.ends_with("+json");
        if !self.content_type.as_deref().is_none_or(is_json) {
            return Err(self.wrong_type("application/json"));
        }
        self.check_encoding()?;
        let bytes = self.read(self.limit).await?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(other) => {
                Err(Error::bad_request(format!("The body must be a JSON object, not {}", kind(&other))))
            }
            Err(_) if bytes.is_empty() => {
                Err(Error::bad_request("The body is empty; it must be a JSON object"))
            }
            Err(error) => Err(Error::bad_request(format!("The body is not JSON: {error}"))),
        }
    }

    /// The body as bytes of one content type (or of none, or of `application/octet-stream`), within a limit of
    /// its own.
    ///
    /// # Errors
    /// As for [`Body::object`], but for the 400.
    pub async fn bytes(&mut self, content_type: &str, limit: u64) -> Result<Bytes> {
        let fits = |kind: &str| kind == content_type || kind == OCTETS;
        if !self.content_type.as_deref().is_none_or(fits) {
            return Err(self.wrong_type(content_type));
        }
        self.check_encoding()?;
        self.read(limit).await
    }

    /// The body as it came, whatever it is, within `gateway.max_body_bytes`.
    ///
    /// # Errors
    /// 413 for a larger body, 408 for one that takes too long.
    pub async fn raw(&mut self) -> Result<Bytes> {
        self.read(self.limit).await
    }

    /// The body as it comes, whatever it is, within `gateway.max_body_bytes`.
    ///
    /// # Errors
    /// 413 for one that says that it is larger.
    pub async fn stream(mut self) -> Result<Streamed> {
        if self.incoming.size_hint().lower() > self.limit {
            self.discard().await;
            return Err(too_large(self.limit));
        }
        Ok(Streamed::new(self.incoming, self.limit, self.clock))
    }

    /// Where the digest of what is read will be.
    pub(super) fn watch(&mut self) -> BodyDigest {
        self.digest.get_or_insert_default().clone()
    }

    /// The digest of a body that is only read for it.
    pub(super) async fn digest(&mut self) -> Result<[u8; 32]> {
        let mut digest = Sha256::new();
        let clock = self.clock.clone();
        let read = async {
            while let Some(frame) = self.incoming.frame().await {
                digest.update(frame.map_err(ended_early)?.into_data().unwrap_or_default());
            }
            Ok(())
        };
        within_timeout(&clock, read).await?;
        Ok(digest.finalize().into())
    }

    fn wrong_type(&self, wanted: &str) -> Error {
        let given = self.content_type.as_deref().unwrap_or_default();
        Error::new(Code::UnsupportedMediaType, format!("The body must be {wanted}, not {given}"))
    }

    fn check_encoding(&self) -> Result<()> {
        let Some(encoding) = &self.encoding else { return Ok(()) };
        let message =
            format!("The body must not be encoded, and it is: {encoding}; send it without Content-Encoding");
        Err(Error::new(Code::UnsupportedMediaType, message))
    }

    async fn read(&mut self, limit: u64) -> Result<Bytes> {
        let clock = self.clock.clone();
        let bytes = within_timeout(&clock, self.collect(limit)).await?;
        if let Some(digest) = &self.digest {
            // A body is read once.
            let _ = digest.set(Sha256::digest(&bytes).into());
        }
        Ok(bytes)
    }

    async fn collect(&mut self, limit: u64) -> Result<Bytes> {
        let mut bytes = BytesMut::new();
        let mut fits = self.incoming.size_hint().lower() <= limit;
        while fits && let Some(frame) = self.incoming.frame().await {
            let data = frame.map_err(ended_early)?.into_data().unwrap_or_default();
            fits = (bytes.len() + data.len()) as u64 <= limit;
            if let Some(held) = &mut self.anonymous {
                held.take(data.len() as u64, limit)?;
            }
            bytes.extend_from_slice(&data);
        }
        if fits {
            return Ok(bytes.freeze());
        }
        self.discard().await;
        Err(too_large(limit))
    }

    /// Closing on a client that is still sending would destroy the answer before it is read.
    async fn discard(&mut self) {
        if self.expects_continue {
            return;
        }
        let clock = self.clock.clone();
        let rest = async {
            let mut read = 0;
            while read < MAX_DISCARDED_BYTES
                && let Some(Ok(frame)) = self.incoming.frame().await
            {
                read += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
        };
        tokio::select! {
            () = rest => {}
            () = clock.sleep(DISCARD_TIMEOUT) => {}
        }
    }
}

impl HeldBytes {
    /// # Errors
    /// 503 when anonymous callers hold too much.
    fn take(&mut self, bytes: u64, limit: u64) -> Result<()> {
        self.bytes += bytes;
        let all = self.all.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Where a single body may be large, two of them must be possible.
        if all > MAX_ANONYMOUS_BYTES.max(limit.saturating_mul(2)) {
            return Err(Error::new(Code::Unavailable, "Too much is being taken in at the moment; try again"));
        }
        Ok(())
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How a body is encoded; none where it is as it is.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?").trim());
    let all: Vec<_> = all.filter(|one| !one.is_empty() && !one.eq_ignore_ascii_case("identity")).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

async fn within_timeout<T>(clock: &Clock, read: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        read = read => read,
        () = clock.sleep(BODY_TIMEOUT) => Err(Error::new(
            Code::RequestTimeout,
            format!("The body did not arrive within {} seconds", BODY_TIMEOUT.as_secs()),
        )),
    }
}

/// The fields of a JSON object in a request. One that nobody asks for is ignored; `null` is as good as absent.
#[derive(Debug, Default)]
pub struct Fields(pub(super) Map<String, Value>);

impl Fields {
    /// A text, where it is given.
    ///
    /// # Errors
    /// 400 that names the field, if it is something else or blank.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => {
                Err(Error::bad_request(format!("`{name}` must not be empty")))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, "a string", &other)),
        }
    }

    /// A name or an id, where it is given: a text of at most [`MAX_NAME_CHARS`].
    ///
    /// # Errors
    /// As for [`Fields::text`], and for a longer one, and one that no terminal and no page would show as it is.
    pub(super) fn name(&mut self, name: &str) -> Result<Option<String>> {
        let text = self.text(name)?;
        if text.as_ref().is_some_and(|text| text.chars().count() > MAX_NAME_CHARS) {
            return Err(Error::bad_request(format!(
                "`{name}` must have at most {MAX_NAME_CHARS} characters"
            )));
        }
        if let Some(wrong) = text.as_deref().and_then(|text| text.chars().find(|c| is_format_control(*c))) {
            let wrong = wrong.escape_unicode();
            return Err(Error::bad_request(format!(
                "`{name}` must have no control characters, and none that change the direction of others; it has {wrong}"
            )));
        }
        Ok(text)
    }

    /// An object, where it is given.
    ///
    /// # Errors
    /// 400 that names the field, if it is something else.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(other) => Err(wrong(name, "an object", &other)),
        }
    }

    /// `true` or `false`, where it is given.
    ///
    /// # Errors
    /// 400 that names the field, if it is something else.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong(name, "true or false", &other)),
        }
    }

    /// A whole number in a range, where it is given.
    ///
    /// # Errors
    /// 400 that names the field and the range, if it is something else.
    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_u64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let accepted = format!("a whole number from {} to {}", range.start(), range.end());
                Err(Error::bad_request(format!("`{name}` must be {accepted}, not {value}")))
            }
        }
    }

    /// All of them, as they are.
    pub fn all(self) -> Map<String, Value> {
        self.0
    }

    /// A list of texts, where it is given.
    ///
    /// # Errors
    /// 400 that names the field, if it is something else.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let Value::Array(items) = value else { return Err(wrong(name, "a list of strings", &value)) };
        let texts = items.into_iter().map(|item| match item {
            Value::String(text) => Ok(text),
            other => Err(wrong(name, "a list of strings", &other)),
        });
        texts.collect::<Result<_>>().map(Some)
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }
}

fn wrong(name: &str, accepted: &str, given: &Value) -> Error {
    Error::bad_request(format!("`{name}` must be {accepted}, not {}", kind(given)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields(value.as_object().expect("an object").clone())
    }

    #[test]
    fn a_wrong_type_names_the_field() {
        let mut fields = fields(json!({"channel": 5, "metadata": [], "scopes": ["a", 1], "content": " "}));
        assert_eq!(fields.text("channel").unwrap_err().message(), "`channel` must be a string, not a number");
        assert_eq!(
            fields.object("metadata").unwrap_err().message(),
            "`metadata` must be an object, not a list"
        );
        assert_eq!(
            fields.texts("scopes").unwrap_err().message(),
            "`scopes` must be a list of strings, not a number"
        );
        assert_eq!(fields.text("content").unwrap_err().message(), "`content` must not be empty");
    }

    #[test]
    fn anonymous_bodies_hold_so_much_and_no_more() {
        let all = AnonymousBodies::default();
        let held = || HeldBytes { all: all.clone(), bytes: 0 };
        let (mut one, mut two) = (held(), held());
        one.take(MAX_ANONYMOUS_BYTES - 1, 1 << 20).unwrap();
        two.take(1, 1 << 20).unwrap();
        assert_eq!(two.take(1, 1 << 20).unwrap_err().code(), Code::Unavailable);
        drop((one, two));
        let large = 10 * MAX_ANONYMOUS_BYTES;
        held().take(large, large).expect("one that may be as large as that");
        assert_eq!(all.load(Ordering::Relaxed), 0, "what is dropped is held no more");
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let mut fields = fields(json!({"channel": null}));
        assert_eq!(fields.text("channel").unwrap(), None);
    }
}
