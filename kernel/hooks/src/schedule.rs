//! The retry schedule: when a delivery that failed is tried again.

use std::time::Duration;

use prx_base::clock::vary;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// The backoff after each failed attempt but the last, in seconds.
const RETRY_SCHEDULE_SECS: [u64; 9] =
    [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/// A receiver may ask, by `retry-after`, for no shorter and no longer wait.
const RETRY_AFTER_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * HOUR));
/// So many retries may come earlier than scheduled: were it all of them, a receiver that asks for a few seconds
/// throughout an outage of minutes would use up every attempt.
const MAX_EARLY_RETRIES: u32 = 3;
/// The waits are up to a tenth longer, lest what failed together comes back together.
const JITTER: f64 = 0.1;

/// The wait after a failed attempt that so many came before; none if it was the last. What the receiver asked for
/// goes before the schedule, but for shorter waits than that after the first few.
pub(super) fn wait(before: u32, asked: Option<Duration>) -> Option<Duration> {
    let scheduled = Duration::from_secs(*RETRY_SCHEDULE_SECS.get(usize::try_from(before).ok()?)?);
    let scheduled = vary(scheduled, 1.0..=1.0 + JITTER);
    Some(match asked.map(|asked| asked.clamp(RETRY_AFTER_RANGE.0, RETRY_AFTER_RANGE.1)) {
        Some(asked) if before < MAX_EARLY_RETRIES => asked,
        Some(asked) => asked.max(scheduled),
        None => scheduled,
    })
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
    fn one_that_is_always_in_a_hurry_is_still_tried_for_days() {
        let all: Duration = (0..).map_while(|before| wait(before, Some(Duration::from_secs(5)))).sum();
        assert!(all > Duration::from_secs(3 * 24 * HOUR), "{all:?}");
        let day = Duration::from_secs(24 * HOUR);
        assert_eq!(wait(4, Some(day)), Some(day), "a longer wait is granted at any time");
    }
}
