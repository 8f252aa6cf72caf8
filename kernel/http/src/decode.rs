//! Percent-encoding, as paths and queries use it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The text behind percent-encoding; `None` if a `%` is not followed by two digits or the result is not UTF-8.
pub(super) fn percent(text: &str) -> Option<String> {
    let is_escape = |after: &str| {
        after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    // The decoder takes a `%` that is none of its own as it is.
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// As [`percent`], with `+` standing for a space.
pub(super) fn form(text: &str) -> Option<String> {
    percent(&text.replace('+', "%20"))
}
