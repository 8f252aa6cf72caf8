//! Takes secrets that a server echoes out of its answer, wherever the chunks are cut.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderValue};

use super::policy::Secrets;
use super::render::percent_encoded;
use prx_base::config::{REDACTED, Secret};

/// The shortest text that is a secret, in bytes. A shorter text is what servers that ask for no key are given, such as `ollama` or `x`:
/// looking for it everywhere would spoil what is no secret.
pub const MIN_SECRET_BYTES: usize = 8;

/// What must not come back: each secret as it is and in the notations a server may echo it in.
pub(super) struct Patterns {
    all: Vec<Vec<u8>>,
    first: [bool; 256],
}

/// Scrubs one stream of bytes.
pub(super) struct Scrubber {
    patterns: Arc<Patterns>,
    held: Vec<u8>,
}

impl Patterns {
    /// `None` when there is nothing to look for.
    pub(super) fn of(secrets: &Secrets) -> Option<Arc<Self>> {
        let mut all = BTreeSet::new();
        let secrets = secrets.values().filter_map(Secret::looked_for);
        for secret in secrets.filter(|secret| secret.len() >= MIN_SECRET_BYTES) {
            all.insert(secret.to_owned());
            all.insert(percent_encoded(secret));
            all.insert(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
            all.insert(json_escaped(secret));
        }
        if all.is_empty() {
            return None;
        }
        // Longest first, so that a secret inside another doesn't leave the rest of it standing.
        let mut all: Vec<Vec<u8>> = all.into_iter().map(String::into_bytes).collect();
        all.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        let mut first = [false; 256];
        for pattern in &all {
            first[usize::from(pattern[0])] = true;
        }
        Some(Arc::new(Self { all, first }))
    }

    /// Scrubs every header value.
    pub(super) fn scrub_headers(self: &Arc<Self>, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            let scrubbed = self.scrub(value.as_bytes());
            if scrubbed != value.as_bytes() {
                *value = HeaderValue::from_bytes(&scrubbed).unwrap_or(HeaderValue::from_static(REDACTED));
            }
        }
    }

    /// Whether a secret is in `text`.
    pub(super) fn are_in(&self, text: &[u8]) -> bool {
        let found = |at: usize| self.all.iter().any(|pattern| text[at..].starts_with(pattern));
        text.iter().enumerate().any(|(at, byte)| self.first[usize::from(*byte)] && found(at))
    }

    /// The text with every secret in it replaced.
    pub(super) fn scrub(self: &Arc<Self>, text: &[u8]) -> Vec<u8> {
        let mut scrubber = Scrubber::new(self.clone());
        let mut scrubbed = scrubber.push(text);
        scrubbed.extend_from_slice(&scrubber.finish());
        scrubbed
    }
}

impl Scrubber {
    pub(super) fn new(patterns: Arc<Patterns>) -> Self {
        Self { patterns, held: Vec::new() }
    }

    /// Takes the next chunk and gives out everything that is sure not to be part of a secret. Only what may be
    /// the beginning of one is held back.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(chunk);
        self.scan(false)
    }

    /// Gives out what was held back, once nothing follows.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.scan(true)
    }

    fn scan(&mut self, last: bool) -> Vec<u8> {
        let patterns = &self.patterns;
        let mut clean = Vec::with_capacity(self.held.len());
        let mut from = 0;
        let mut at = 0;
        while let Some(&byte) = self.held.get(at) {
            if !patterns.first[usize::from(byte)] {
                at += 1;
                continue;
            }
            let rest = &self.held[at..];
            if !last && patterns.all.iter().any(|p| p.len() > rest.len() && p.starts_with(rest)) {
                break;
            }
            if let Some(found) = patterns.all.iter().find(|p| rest.starts_with(p)) {
                clean.extend_from_slice(&self.held[from..at]);
                clean.extend_from_slice(REDACTED.as_bytes());
                at += found.len();
                from = at;
            } else {
                at += 1;
            }
        }
        clean.extend_from_slice(&self.held[from..at]);
        self.held.drain(..at);
        clean
    }
}

fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use prx_base::config::Secret;

    fn patterns(secrets: &[&str]) -> Arc<Patterns> {
        let named = secrets.iter().enumerate().map(|(i, secret)| (i.to_string(), Secret::new(*secret)));
        Patterns::of(&named.collect()).unwrap()
    }

    #[test]
    fn every_notation_is_found() {
        let patterns = patterns(&["a/b \"c\":d"]);
        for text in ["a/b \"c\":d", "a%2Fb%20%22c%22:d", "a%2Fb+%22c%22%3Ad", "a/b \\\"c\\\":d"] {
            assert_eq!(patterns.scrub(text.as_bytes()), REDACTED.as_bytes(), "{text}");
        }
    }

    #[test]
    fn the_longer_of_two_secrets_goes_whole() {
        let patterns = patterns(&["my-token", "my-token-and-more"]);
        let mut scrubber = Scrubber::new(patterns);
        assert_eq!(scrubber.push(b"<my-token"), b"<");
        assert_eq!(scrubber.push(b"-and-more>"), b"***REDACTED***>");
    }

    #[test]
    fn text_that_only_begins_like_a_secret_comes_back_whole() {
        let mut scrubber = Scrubber::new(patterns(&["a secret"]));
        assert_eq!(scrubber.push(b"plain a sec"), b"plain ");
        assert_eq!(scrubber.push(b"ond"), b"a second");
        assert_eq!(scrubber.push(b" a secre"), b" ");
        assert_eq!(scrubber.finish(), b"a secre");
    }

    #[test]
    fn no_secret_needs_no_scrubbing() {
        assert!(Patterns::of(&Secrets::default()).is_none());
        for text in ["", "ollama", "EMPTY", "1"] {
            let secrets = [("api_key".to_owned(), Secret::new(text))].into_iter().collect();
            assert!(Patterns::of(&secrets).is_none(), "{text} is what servers without a key are given");
        }
    }

    proptest! {
        #[test]
        fn the_cuts_between_chunks_make_no_difference(
            chunks in prop::collection::vec("[ab]{0,9}", 0..16),
            secrets in prop::collection::vec("[ab]{8,10}", 1..4),
        ) {
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            let patterns = patterns(&secrets);
            let mut scrubber = Scrubber::new(patterns.clone());
            let mut pieces: Vec<u8> = chunks.iter().flat_map(|c| scrubber.push(c.as_bytes())).collect();
            pieces.extend(scrubber.finish());
            let text = chunks.concat();
            let whole = patterns.scrub(text.as_bytes());
            prop_assert_eq!(&pieces, &whole);
            prop_assert_eq!(patterns.are_in(text.as_bytes()), whole != text.as_bytes());
            let text = String::from_utf8(pieces).unwrap();
            for secret in secrets {
                prop_assert!(!text.contains(secret), "{} in {}", secret, text);
            }
        }
    }
}
