//! A moment that a query begins with.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use prx_base::clock::Clock;
use prx_base::error::{Error, Result};
use prx_http::duration;
use prx_http::parameter::Matching;

/// What it takes.
pub(super) const SINCE: Matching = Matching(
    "^([1-9][0-9]{0,4}[smhdw]|20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}Z)$",
);

/// A moment, or how long ago it was.
///
/// # Errors
/// 400 that says what it takes.
pub(super) fn since(clock: &Clock, text: &str) -> Result<Timestamp> {
    let utc = |local: DateTime| TimeZone::UTC.to_timestamp(local).ok();
    let moment = text.parse().ok().or_else(|| utc(text.parse().ok()?));
    moment.or_else(|| ago(clock, duration::parse("since", text).ok()?)).ok_or_else(|| {
        let accepted = "an ISO 8601 timestamp such as 2026-03-21T10:00:00Z, or a duration such as \"1h\"";
        Error::bad_request(format!("`since` must be {accepted}; not \"{text}\""))
    })
}

/// The moment so long ago.
pub(super) fn ago(clock: &Clock, duration: Duration) -> Option<Timestamp> {
    let duration = SignedDuration::try_from(duration).ok()?;
    Some(clock.now().checked_sub(duration).unwrap_or(Timestamp::MIN))
}
