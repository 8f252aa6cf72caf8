//! The gateway's sessions: the one there is, and how many more may be begun.

use std::time::Duration;

use prx_sdk::connector::Context;
use serde::{Deserialize, Serialize};

use crate::api::GatewayBot;
use crate::config::Config;

/// How long the API's answer about the gateway is used, in milliseconds.
const MAX_AGE_MS: u64 = 3_600_000;
/// The shortest time between two new sessions, in milliseconds.
const START_INTERVAL_MS: u64 = 5_000;
/// The longest time between two new sessions of which none lasts, in milliseconds: few enough of them fit into a day.
const MAX_START_INTERVAL_MS: u64 = 600_000;
/// A session that is followed by another one sooner than this, beyond the time that has to be between them, did not
/// last; in milliseconds.
const LASTING_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

/// A session of the gateway that may be taken up again.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub id: String,
    /// Where it is taken up again.
    pub url: String,
    /// The last event seen of it.
    pub sequence: u64,
}

/// Beginning sessions: where, and how often that is still allowed. Too often, and the platform resets the token.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Starts {
    /// Where the API said that the gateway is.
    pub url: String,
    asked_at: u64,
    pub remaining: u32,
    resets_at: u64,
    last: u64,
    /// Sessions begun since the count was last reset, for the operator to see.
    pub begun: u32,
    /// Sessions in a row that did not last.
    #[serde(skip_serializing_if = "is_zero")]
    short: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Starts {
    /// Takes note of what the API says.
    pub(crate) fn learn(&mut self, now: u64, said: &GatewayBot) {
        let limit = &said.session_start_limit;
        let resets_at = now + u64::from(limit.reset_after).clamp(60_000, DAY_MS);
        if now >= self.resets_at {
            self.begun = 0;
        }
        self.url.clone_from(&said.url);
        (self.asked_at, self.resets_at) = (now, resets_at);
        self.remaining = limit.remaining;
    }

    /// Whether the API has to be asked before another session begins.
    pub(crate) fn is_stale(&self, now: u64) -> bool {
        self.url.is_empty() || now >= self.resets_at || now.saturating_sub(self.asked_at) > MAX_AGE_MS
    }

    /// The next session begins where the API says then.
    pub(crate) fn forget_url(&mut self) {
        self.asked_at = 0;
    }

    /// How long to wait before another session may begin, and why.
    pub(crate) fn wait(&self, now: u64) -> Option<(Duration, String)> {
        if self.remaining == 0 && now < self.resets_at {
            let why = format!(
                "no more sessions may be begun today ({} were), or the platform would reset the token",
                self.begun
            );
            return Some((Duration::from_millis(self.resets_at - now), why));
        }
        let interval = self.interval();
        let left = self.last.saturating_add(interval).saturating_sub(now).min(interval);
        (left > 0).then(|| {
            let why = match self.short {
                0 => format!("sessions begin {} s apart at least", interval / 1000),
                short => format!("{} sessions in a row were ended by the platform at once", short + 1),
            };
            (Duration::from_millis(left), why)
        })
    }

    /// The shortest time between the last session and the next: it doubles while none lasts.
    fn interval(&self) -> u64 {
        START_INTERVAL_MS.saturating_mul(1 << self.short.min(16)).min(MAX_START_INTERVAL_MS)
    }

    /// Counts a session that begins now.
    pub(crate) fn begin(&mut self, cx: &Context<Config>) {
        let lasted = cx.now.saturating_sub(self.last) >= self.interval() + LASTING_MS;
        self.short = if lasted { 0 } else { self.short.saturating_add(1) };
        self.last = cx.now;
        self.begun = self.begun.saturating_add(1);
        self.remaining = self.remaining.saturating_sub(1);
    }
}
