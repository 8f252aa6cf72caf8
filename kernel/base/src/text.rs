//! Texts of strangers, as a person is shown them, and bytes as text.

use std::borrow::Cow;
use std::fmt::Write;

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Writing to a string can't fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Characters that are not seen, or that change in which direction others are read. Control characters and spaces are not
/// among them.
const UNSEEN: [(char, char); 20] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{e000}', '\u{f8ff}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{13430}', '\u{1345f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{10ffff}'),
];

/// Whether a character controls how others are shown: a control character, one that begins a line, or one that changes the
/// direction of reading.
pub fn is_format_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character is seen as itself: neither a control character nor one that is invisible, changes the direction of
/// others, or is a space that is not ASCII's.
pub fn is_seen(c: char) -> bool {
    let is_space = c.is_whitespace() && c != ' ';
    !c.is_control() && !is_space && !UNSEEN.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// The same with `\u202e` in the place of each character that is not seen as itself, in the way of JSON.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_seen) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_seen(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a text never fails.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown.into()
}

/// Whether a text has the shape of a BCP 47 language tag: parts of letters and digits with hyphens between them, the first of
/// two to eight letters, at most 35 bytes in all.
pub fn is_language_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default();
    let is_first = (2..=8).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic());
    let is_part =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    text.len() <= 35 && is_first && parts.all(is_part)
}

/// A name for a file that a platform, an API or a disk can be given: the last part of a path, without what is not seen,
/// at most 200 bytes of it with its extension kept; none where nothing is left.
pub fn file_name(given: &str) -> Option<String> {
    const MAX_BYTES: usize = 200;
    const MAX_EXTENSION_BYTES: usize = 20;
    let last = given.rsplit(['/', '\\']).find(|part| !part.trim().is_empty())?;
    let name: String = last.chars().filter(|c| is_seen(*c)).collect();
    let name = name.trim().trim_matches('.').trim();
    // A dot at the beginning hides a file; one at the end goes missing on some disks.
    if name.is_empty() {
        return None;
    }
    if name.len() <= MAX_BYTES {
        return Some(name.to_owned());
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= MAX_EXTENSION_BYTES => (stem, format!(".{extension}")),
        _ => (name, String::new()),
    };
    Some(format!("{}{extension}", &stem[..stem.floor_char_boundary(MAX_BYTES - extension.len())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_written_out() {
        assert_eq!(escaped("rm \u{202e}fr-\u{0}\u{200b}\n x"), "rm \\u202efr-\\u0000\\u200b\\u000a x");
        assert_eq!(escaped("\u{e0041}\u{a0}"), "\\udb40\\udc41\\u00a0");
        for plain in ["", "hello, wörld!", "日本語 ✓", "a b"] {
            assert_eq!(escaped(plain), plain);
        }
    }

    #[test]
    fn a_language_is_told_by_its_shape() {
        for tag in ["de", "pt-br", "zh-Hant-TW", "es-419", "sl-rozaj-biske"] {
            assert!(is_language_tag(tag), "{tag}");
        }
        for other in
            ["", "d", "de-", "-de", "de_DE", "deutschland", "1de", "de\n", "dé", &"de-abcdefg".repeat(9)]
        {
            assert!(!is_language_tag(other), "{other:?}");
        }
    }

    #[test]
    fn a_file_name_is_one_part_of_a_path_and_no_more() {
        for (given, name) in [
            ("../../etc/pa\0ss\r\nX: y", Some("passX: y")),
            ("C:\\Users\\me\\chart.png", Some("chart.png")),
            ("réport 1.pdf", Some("réport 1.pdf")),
            ("dir/", Some("dir")),
            (".bashrc", Some("bashrc")),
            ("..", None),
            ("a\u{202e}gnp.exe", Some("agnp.exe")),
            ("\0\u{200b}", None),
            ("", None),
        ] {
            assert_eq!(file_name(given).as_deref(), name, "{given:?}");
        }
        let long = file_name(&format!("{}.tar.gz", "é".repeat(500))).unwrap();
        assert!(long.len() <= 200 && long.ends_with("é.gz"), "{long}");
    }
}
