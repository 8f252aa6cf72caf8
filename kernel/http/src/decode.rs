//! Percent-encoding, as paths and queries use it.

/// The text behind percent-encoding; `None` if a `%` is not followed by two digits or the result is not UTF-8.
pub(super) fn percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { hex(rest.next()?)? << 4 | hex(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

/// As [`percent`], with `+` standing for a space.
pub(super) fn form(text: &str) -> Option<String> {
    percent(&text.replace('+', "%20"))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
