//! When a delivery that failed is tried again.

use std::time::Duration;

use hyper::header::{HeaderMap, RETRY_AFTER};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Seconds to wait after each failed attempt but the last.
const WAITS: [u64; 9] =
    [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/// A receiver may ask for no shorter and no longer wait.
const ASKED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * HOUR));
/// The waits are up to a tenth longer, lest what failed together comes back together.
const JITTER: f64 = 0.1;

/// The wait after a failed attempt that so many came before; none if it was the last. What the receiver asked for
/// goes before the schedule.
pub(super) fn wait(before: u32, asked: Option<Duration>) -> Option<Duration> {
    let wait = Duration::from_secs(*WAITS.get(usize::try_from(before).ok()?)?);
    let random = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    Some(match asked {
        Some(asked) => asked.clamp(ASKED.0, ASKED.1),
        None => wait.mul_f64(1.0 + JITTER * random),
    })
}

/// The wait that an answer's `Retry-After` asks for, in seconds or as a date.
pub(super) fn asked(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_the_standards_with_some_jitter() {
        let hours = |hours: u64| hours * 3600;
        let expected = [5, 300, 1800, hours(2), hours(5), hours(10), hours(14), hours(20), hours(24)]
            .map(Duration::from_secs);
        for (before, expected) in (0..).zip(expected) {
            let wait = wait(before, None).unwrap();
            assert!(wait >= expected && wait <= expected.mul_f64(1.1), "{before}: {wait:?}");
        }
        assert_eq!(wait(9, None), None);
        assert_eq!(wait(9, Some(Duration::from_secs(2))), None);
    }

    #[test]
    fn the_receivers_wish_goes_before_the_schedule() {
        for (asked, given) in [(2, 2), (0, 1), (3600, 3600), (u64::MAX, 86_400)] {
            assert_eq!(wait(0, Some(Duration::from_secs(asked))), Some(Duration::from_secs(given)));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-03-21T10:00:00Z".parse().unwrap();
        let asked = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            asked(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(asked("2"), Some(2));
        assert_eq!(asked("Sat, 21 Mar 2026 10:01:30 GMT"), Some(90));
        assert_eq!(asked("Sat, 21 Mar 2026 09:00:00 GMT"), Some(0));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-2"), None);
    }
}
