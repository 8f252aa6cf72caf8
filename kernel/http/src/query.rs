//! The query: the parameters after the `?`, read with a type.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::decode;
use prx_base::error::{Error, Result};

/// The query parameters of a request. One that nobody asks for is ignored.
#[derive(Debug, Default)]
pub struct Query {
    raw: String,
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Takes the part after the `?` apart.
    ///
    /// # Errors
    /// 400 when its percent-encoding is broken.
    pub fn parse(raw: Option<&str>) -> Result<Self> {
        let raw = raw.unwrap_or_default();
        let decoded = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode::form(name)?, decode::form(value)?))
        });
        match decoded.collect() {
            Some(pairs) => Ok(Self { raw: raw.to_owned(), pairs }),
            None => Err(Error::bad_request("The query is not percent-encoded UTF-8")),
        }
    }

    /// All of it, as it came.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// A parameter as text, where it is given.
    ///
    /// # Errors
    /// 400 when it is given more than once.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        let mut values =
            self.pairs.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(Error::bad_request(format!("`{name}` is given more than once"))),
        }
    }

    /// A whole number within a range, or the default.
    ///
    /// # Errors
    /// 400 that names the parameter and the range.
    pub(super) fn number(
        &self,
        name: &str,
        accepted: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize> {
        let Some(text) = self.text(name)? else { return Ok(default) };
        let number = text.parse().ok().filter(|number| accepted.contains(number));
        number.ok_or_else(|| {
            let (least, most) = accepted.into_inner();
            refused(name, &format!("a whole number from {least} to {most}"), text)
        })
    }

    /// One of the accepted words, or the default.
    ///
    /// # Errors
    /// 400 that names the parameter and the accepted words.
    pub(super) fn word<T: Copy>(&self, name: &str, accepted: &[(&str, T)], default: T) -> Result<T> {
        let Some(text) = self.text(name)? else { return Ok(default) };
        let found = accepted.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = accepted.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            refused(name, &format!("one of {}", words.join(", ")), text)
        })
    }
}

fn refused(name: &str, accepted: &str, given: impl Display) -> Error {
    Error::bad_request(format!("`{name}` must be {accepted}, not \"{given}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(raw: &str) -> Query {
        Query::parse(Some(raw)).expect("a sound query")
    }

    #[test]
    fn values_are_decoded_and_the_rest_is_ignored() {
        let query = query("channel=a%2Fb+c&&x&limit=7");
        assert_eq!(query.text("channel").unwrap(), Some("a/b c"));
        assert_eq!(query.text("x").unwrap(), Some(""));
        assert_eq!(query.text("absent").unwrap(), None);
        assert_eq!(query.number("limit", 1..=500, 50).unwrap(), 7);
        assert_eq!(query.number("offset", 0..=9, 3).unwrap(), 3);
    }

    #[test]
    fn broken_encoding_is_refused() {
        for raw in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert!(Query::parse(Some(raw)).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_bad_value_names_the_parameter_and_what_it_takes() {
        let message = |result: Result<usize>| result.expect_err("refused").message().to_owned();
        for raw in ["limit=0", "limit=501", "limit=ten", "limit=-1", "limit=", "limit=1.5"] {
            let message = message(query(raw).number("limit", 1..=500, 50));
            assert!(message.starts_with("`limit` must be a whole number from 1 to 500, not \""), "{message}");
        }
        let twice = message(query("limit=1&limit=2").number("limit", 1..=500, 50));
        assert_eq!(twice, "`limit` is given more than once");
        let word = query("status=Active").word("status", &[("active", 1), ("idle", 2)], 1);
        assert_eq!(message(word), "`status` must be one of \"active\", \"idle\", not \"Active\"");
    }
}
