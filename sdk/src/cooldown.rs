//! A pause of all requests to one origin, for a connector whose platform refuses requests with 429 and does not say for
//! how long: what stands in front of a platform does so to shut an address out, and does it for longer when it is asked
//! again.
//!
//! The first pause is a minute, each further one twice as long, up to an hour. After a pause one request goes ahead alone:
//! if it is answered, the others follow.

use crate::types::UnixMs;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The first pause, in milliseconds.
const MIN_PAUSE_MS: u64 = 60_000;
/// The longest pause, in milliseconds.
const MAX_PAUSE_MS: u64 = 3_600_000;
/// How long the others wait for the answer to the one request that goes ahead, in milliseconds.
const TRIAL_MS: u64 = 5_000;

/// Most bytes of a page that are looked at.
const MAX_PAGE_BYTES: usize = 64 << 10;

/// Whether a page that came with 403 in a platform's place says that the address is shut out: `error code: 1006`, `1015`, `1020`
/// and the like.
pub fn is_ban(page: &[u8]) -> bool {
    const SIGN: &[u8] = b"error code: 10";
    page.windows(SIGN.len()).take(MAX_PAGE_BYTES).any(|words| words.eq_ignore_ascii_case(SIGN))
}

/// The pause of one origin, if there is one. Kept in the connector's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cooldown {
    /// No request goes out before this.
    until: UnixMs,
    /// Pauses in a row; 0: there is none.
    pauses: u32,
    /// A request has gone ahead, and `until` is how long the others wait for its answer.
    trial: bool,
}

impl Cooldown {
    /// Whether there is none, and none has just been.
    pub fn is_over(&self) -> bool {
        self.pauses == 0
    }

    /// What is left of the pause.
    pub fn left(&self, now: UnixMs) -> Option<Duration> {
        let left = self.until.saturating_sub(now).min(MAX_PAUSE_MS);
        (!self.is_over() && left > 0).then(|| Duration::from_millis(left))
    }

    /// How long a request has to wait. None: it may go out now.
    pub fn wait(&mut self, now: UnixMs) -> Option<Duration> {
        if let Some(left) = self.left(now) {
            return Some(left);
        }
        if !self.is_over() {
            (self.until, self.trial) = (now.saturating_add(TRIAL_MS), true);
        }
        None
    }

    /// A request was refused, for this long if that is known. Returns how long the pause is that begins with it. None: it
    /// has begun before, and the request went out before that.
    pub fn begin(&mut self, now: UnixMs, after: Option<Duration>) -> Option<Duration> {
        if self.left(now).is_some() && !self.trial {
            return None;
        }
        let doubled = MIN_PAUSE_MS.saturating_mul(1 << self.pauses.min(10));
        let asked = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        let pause = asked.unwrap_or(doubled).min(MAX_PAUSE_MS);
        (self.until, self.trial) = (now.saturating_add(pause), false);
        self.pauses = self.pauses.saturating_add(1);
        Some(Duration::from_millis(pause))
    }

    /// The platform answered a request. One that went out before the pause says nothing about it.
    pub fn end(&mut self, now: UnixMs) {
        if self.trial || self.left(now).is_none() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_pause_doubles_from_a_minute_to_an_hour_and_an_answer_ends_it() {
        let (mut cooldown, mut now) = (Cooldown::default(), 1_700_000_000_000);
        assert_eq!((cooldown.wait(now), cooldown.wait(now)), (None, None));
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(cooldown.begin(now, None), Some(minutes * MINUTE));
            assert_eq!(cooldown.begin(now, None), None, "what was on its way does not make it longer");
            cooldown.end(now);
            assert_eq!(cooldown.wait(now), Some(minutes * MINUTE), "nor shorter");
            now += u64::from(minutes) * 60_000;
            assert_eq!(cooldown.wait(now), None, "one goes ahead");
            assert_eq!(cooldown.wait(now), Some(Duration::from_millis(TRIAL_MS)), "the others wait for it");
        }
        cooldown.end(now);
        assert_eq!((cooldown.wait(now), cooldown.wait(now)), (None, None));
        assert_eq!(cooldown.begin(now, None), Some(MINUTE), "from the beginning");
    }

    #[test]
    fn a_time_that_is_told_is_kept_to() {
        let mut cooldown = Cooldown::default();
        assert_eq!(cooldown.begin(5, Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(cooldown.begin(7_005, Some(Duration::MAX)), Some(60 * MINUTE));
        assert_eq!(cooldown.left(1), Some(60 * MINUTE), "a clock that was set back makes no longer wait");
    }

    #[test]
    fn when_the_first_request_gets_no_answer_another_goes_ahead() {
        let mut cooldown = Cooldown::default();
        cooldown.begin(0, None);
        assert_eq!(cooldown.wait(60_000), None);
        assert_eq!(cooldown.wait(64_999), Some(Duration::from_millis(1)));
        assert_eq!(cooldown.wait(65_000), None);
        assert_eq!(cooldown.begin(65_001, None), Some(2 * MINUTE));
    }
}
