//! The backoff that an answer asks for: `Retry-After`, and the headers of its rate limit.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, RETRY_AFTER};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// The wait that an answer's `Retry-After` asks for, in seconds or as a date.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if let Some(wait) = seconds(headers, RETRY_AFTER.as_str()) {
        return Some(wait);
    }
    let until = rfc2822::parse(headers.get(RETRY_AFTER)?.to_str().ok()?.trim()).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

/// How long the next request under the same rate limit has to wait: this one was refused, or it was the last one that
/// the limit had room for.
pub fn backoff(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let refused = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let asked = refused.then(|| retry_after(headers, now)).flatten();
    asked.or_else(|| {
        let left = seconds(headers, "x-ratelimit-remaining")?;
        left.is_zero().then(|| seconds(headers, "x-ratelimit-reset-after")).flatten()
    })
}

/// A header's number as seconds, which may have decimals.
fn seconds(headers: &HeaderMap, name: &str) -> Option<Duration> {
    let number: f64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(number).ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn now() -> Timestamp {
        "2026-03-21T10:00:00Z".parse().unwrap()
    }

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs =
            all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let asked = |text| retry_after(&headers(&[("retry-after", text)]), now());
        assert_eq!(asked("2"), Some(Duration::from_secs(2)));
        assert_eq!(asked("0.25"), Some(Duration::from_millis(250)));
        assert_eq!(asked("Sat, 21 Mar 2026 10:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(asked("Sat, 21 Mar 2026 09:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-2"), None);
    }

    #[test]
    fn a_bucket_is_left_alone_when_it_is_empty_or_refuses() {
        let paused = |status, all: &[_]| backoff(StatusCode::from_u16(status).unwrap(), &headers(all), now());
        assert_eq!(paused(429, &[("retry-after", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(paused(200, &[("retry-after", "3")]), None, "that is about something else");
        let bucket = |left| [("x-ratelimit-remaining", left), ("x-ratelimit-reset-after", "1.5")];
        assert_eq!(paused(200, &bucket("0")), Some(Duration::from_millis(1500)));
        assert_eq!(paused(200, &bucket("4")), None);
        assert_eq!(paused(429, &[]), None);
    }
}
