//! The platform's rate limits: of all calls, and of each bucket.

use std::collections::BTreeMap;
use std::time::Duration;

use prx_sdk::connector::{Context, HttpResponse};
use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::config::Config;

/// The rate limit of operations, in milliseconds between two calls: the platform takes 50 calls a second in all.
const CALL_EVERY_MS: u64 = 22;
/// Most calls at once.
const CALLS_AT_ONCE: u64 = 20;
/// Most buckets that are remembered as used up.
const MAX_HELD: usize = 512;
/// The longest wait that is believed, in milliseconds.
const MAX_HOLD_MS: u64 = 3_600_000;

/// What is known of the platform's rate limits.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    calls: Budget,
    /// Nothing goes out before this.
    held_until: u64,
    /// The platform's name for the bucket that a route counts in.
    buckets: BTreeMap<String, String>,
    /// Buckets that are used up in one place, and until when.
    held: BTreeMap<String, u64>,
}

/// One kind of call in one place: what the platform counts by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route<'a> {
    pub kind: &'a str,
    /// The channel, in the platform's terms the top-level resource.
    pub place: &'a str,
}

impl Pace {
    /// How long a call has to wait. None: it may go out now, and is counted.
    pub(crate) fn wait(&mut self, cx: &Context<Config>, route: Route<'_>) -> Option<Duration> {
        self.held.retain(|_, until| *until > cx.now);
        let until = self.held.get(&self.key(route)).copied().unwrap_or_default().max(self.held_until);
        if until > cx.now {
            return Some(Duration::from_millis((until - cx.now).min(MAX_HOLD_MS)));
        }
        let wait = self.calls.take(cx.now, CALL_EVERY_MS, CALLS_AT_ONCE).err()?;
        // Those who wait come back one after the other.
        Some(Duration::from_millis(cx.random_between(wait, wait + 1_000)))
    }

    /// Takes note of what an answer says about the route's bucket.
    pub(crate) fn learn(&mut self, now: u64, route: Route<'_>, answer: &HttpResponse) {
        if let Some(bucket) = answer.header("x-ratelimit-bucket").filter(|bucket| bucket.len() <= 64) {
            self.buckets.insert(route.kind.to_owned(), bucket.to_owned());
        }
        let seconds = answer.header("x-ratelimit-reset-after").and_then(|text| text.parse::<f64>().ok());
        if let (Some("0"), Some(seconds)) = (answer.header("x-ratelimit-remaining"), seconds) {
            let after = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            self.hold(now, route, after);
        }
    }

    /// Nothing of this route goes out for a while.
    pub(crate) fn hold(&mut self, now: u64, route: Route<'_>, after: Duration) {
        if self.held.len() >= MAX_HELD {
            self.held.pop_first();
        }
        self.held.insert(self.key(route), now.saturating_add(millis(after)));
    }

    /// Nothing at all goes out for a while.
    pub(crate) fn hold_all(&mut self, now: u64, after: Duration) {
        self.held_until = now.saturating_add(millis(after));
    }

    fn key(&self, route: Route<'_>) -> String {
        let bucket = self.buckets.get(route.kind).map_or(route.kind, String::as_str);
        format!("{bucket}:{}", route.place)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(MAX_HOLD_MS)
}
