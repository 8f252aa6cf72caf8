//! JSON from servers that keep to no schema, read leniently; feature `http`.
//!
//! What is needed is looked up, and what is of another type than expected counts as absent.
//!
//! ```
//! use prx_sdk::json;
//!
//! let chunk = json::read(br#"{"index": "0", "usage": {"prompt_tokens": null}}"#)?;
//! assert_eq!(json::number(&chunk["index"]), Some(0));
//! assert_eq!(json::number(&chunk["usage"]["prompt_tokens"]), None);
//! # Ok::<(), json::Unreadable>(())
//! ```

use serde_json::{Map, Value};

/// Most values in one text: each takes up far more memory than its bytes.
const MAX_VALUES: usize = 250_000;

/// Most bytes of a text that are quoted in the log.
const MAX_QUOTE_BYTES: usize = 200;

/// Why a text is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It ends before its end.
    Cut,
    /// It is no JSON.
    Nonsense,
    /// It holds more values than are read.
    TooLarge,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cut => "JSON that is cut off",
            Self::Nonsense => "no JSON",
            Self::TooLarge => "JSON of too many values",
        })
    }
}

impl std::error::Error for Unreadable {}

/// Reads a text.
///
/// # Errors
/// It is cut off, no JSON, or more than fits in an instance's memory.
pub fn read(text: &[u8]) -> Result<Value, Unreadable> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() > MAX_VALUES {
        return Err(Unreadable::TooLarge);
    }
    serde_json::from_slice(text)
        .map_err(|error| if error.is_eof() { Unreadable::Cut } else { Unreadable::Nonsense })
}

/// A text that is there and not empty.
pub fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// A count, also one that is written as a text or with a fraction of zero.
pub fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok().or_else(|| whole(text.trim().parse().ok()?)),
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole and within the bounds"
)]
fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..9.0e15).contains(&number)).then_some(number as u64)
}

/// The items of a list; a single item counts as a list of one, and what is null as an empty one.
pub fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// The object that a model's text of a tool call's arguments stands for. Servers encode it twice, begin with an empty
/// one, or repeat the whole at the end: the last whole object counts. None: it is no object.
pub fn arguments(text: &str) -> Option<Map<String, Value>> {
    if let Ok(object) = serde_json::from_str(text) {
        return Some(object);
    }
    if let Ok(inner) = serde_json::from_str::<String>(text) {
        return arguments_once(&inner);
    }
    let mut objects = serde_json::Deserializer::from_str(text).into_iter::<Map<String, Value>>();
    objects.try_fold(None, |_, object| object.ok().map(Some)).flatten()
}

fn arguments_once(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text)
        .ok()
        .or_else(|| serde_json::from_str(&serde_json::from_str::<String>(text).ok()?).ok())
}

/// The beginning of a text, for the log: on one line, what is no UTF-8 replaced.
pub fn excerpt(text: &[u8]) -> String {
    let begin = &text[..text.len().min(MAX_QUOTE_BYTES)];
    let mut shown = String::new();
    for c in String::from_utf8_lossy(begin).chars() {
        if c.is_control() { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    if text.len() > begin.len() { shown + "…" } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_of_another_type_is_absent() {
        for (value, expected) in [
            (json!(7), Some(7)),
            (json!("7"), Some(7)),
            (json!(7.0), Some(7)),
            (json!("7.0"), Some(7)),
            (json!(-1), None),
            (json!(1e300), None),
            (json!(1.5), None),
            (json!("many"), None),
            (json!(null), None),
            (json!([7]), None),
        ] {
            assert_eq!(number(&value), expected, "{value}");
        }
        assert_eq!((text(&json!("")), text(&json!(1)), text(&json!("a"))), (None, None, Some("a")));
        assert_eq!(
            (items(&json!(null)).len(), items(&json!({})).len(), items(&json!([1, 2])).len()),
            (0, 1, 2)
        );
    }

    #[test]
    fn a_text_that_is_cut_is_told_from_one_that_makes_no_sense() {
        assert_eq!(read(b"{\"a\": [1, 2").unwrap_err(), Unreadable::Cut);
        assert_eq!(read(b"").unwrap_err(), Unreadable::Cut);
        assert_eq!(read(b"{'a': 1}").unwrap_err(), Unreadable::Nonsense);
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert_eq!(read(many.as_bytes()).unwrap_err(), Unreadable::TooLarge);
        assert_eq!(read(b"{\"a\": 1, \"a\": 2}").unwrap(), json!({"a": 2}), "the last of a name counts");
    }

    #[test]
    fn arguments_are_the_last_whole_object() {
        let n = json!({"n": 1}).as_object().cloned();
        for (text, expected) in [
            ("{\"n\": 1}", &n),
            ("\"{\\\"n\\\": 1}\"", &n),
            ("\"\\\"{\\\\\\\"n\\\\\\\": 1}\\\"\"", &n),
            ("{}{\"n\": 1}", &n),
            ("{\"n\": 1}\n{\"n\": 1}", &n),
            ("{\"n\": 1", &None),
            ("{}{\"n\": ", &None),
            ("[]", &None),
            ("null", &None),
            ("", &None),
        ] {
            assert_eq!(arguments(text), *expected, "{text}");
        }
    }

    #[test]
    fn what_is_quoted_is_short_and_on_one_line() {
        assert_eq!(excerpt(b"a\n\xffb"), "a\\n\u{fffd}b");
        assert!(excerpt(&[b'x'; 10_000]).len() < 250);
    }
}
