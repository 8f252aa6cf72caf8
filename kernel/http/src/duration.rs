//! Durations as people write them: `90s`, `30m`, `12h`, `30d`, `2w`.

use std::time::Duration;

use prx_base::error::{Error, Result};

/// What a duration of everyday length looks like.
pub const PATTERN: &str = "^[1-9][0-9]{0,4}[smhdw]$";

/// Reads a duration.
///
/// # Errors
/// 400 that names the parameter and what it takes.
pub fn parse(name: &str, text: &str) -> Result<Duration> {
    seconds(text).map(Duration::from_secs).ok_or_else(|| {
        let accepted = "a whole number with a unit: s, m, h, d or w, such as \"30d\"";
        Error::bad_request(format!("`{name}` must be {accepted}; not \"{text}\""))
    })
}

fn seconds(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_is_a_duration() {
        for (text, expected) in
            [("90s", 90), ("30m", 1800), ("1h", 3600), ("30d", 2_592_000), ("2w", 1_209_600)]
        {
            assert_eq!(parse("since", text).unwrap(), Duration::from_secs(expected));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "d", "30", "-1d", "+1d", "1.5h", "0s", "1 d", "1y", "99999999999999999w", "ü"] {
            assert!(parse("since", text).unwrap_err().message().starts_with("`since` must be"), "{text}");
        }
    }
}
