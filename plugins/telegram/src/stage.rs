//! How far the channel is with getting its updates.

use std::time::Duration;

use prx_sdk::connector::{Context, Resumed};
use serde::{Deserialize, Serialize};

use crate::call::CALL_TIMEOUT;
use crate::config::Config;

/// The time between two checks of the webhook.
pub(crate) const WEBHOOK_CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// The longest wait after the first conflict, in milliseconds.
const MIN_CONFLICT_WAIT_MS: u64 = 1_500;
/// The longest wait after a conflict, in milliseconds.
const MAX_CONFLICT_WAIT_MS: u64 = 45_000;
/// A conflict this long after the one before is a first one, in milliseconds.
const CONFLICT_MEMORY_MS: u64 = 180_000;

/// Where the poll stands.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    pub(crate) stage: Stage,
    /// The request in flight, or the timer after which the stage is tried again.
    pub(crate) token: u64,
    pub(crate) waiting: bool,
    /// When the request went out, in Unix milliseconds.
    pub(crate) since: u64,
    /// Tries in a row without success.
    pub(crate) failures: u32,
    #[serde(default, skip_serializing_if = "Conflicts::is_none")]
    pub(crate) conflicts: Conflicts,
}

/// How often something else has taken the updates, as long as that goes on.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Conflicts {
    count: u32,
    /// The last one, in Unix milliseconds.
    at: u64,
}

/// What the channel is doing to get its updates.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// Not polling.
    #[default]
    Off,
    /// Removing a webhook, which would keep updates from a poll.
    #[serde(rename = "unhook")]
    DeleteWebhook,
    /// Asking whose token this is.
    Identify,
    /// A poll that comes back at once: it shows whether polling works.
    Probe,
    /// The long poll.
    Listen,
    /// Setting up a webhook.
    #[serde(rename = "hook")]
    SetWebhook,
    /// Checking the webhook.
    #[serde(rename = "look")]
    CheckWebhook,
}

impl Conflicts {
    fn is_none(&self) -> bool {
        self.count == 0
    }

    /// How long to wait after one more: a second at first, for whatever ended a moment ago still held its poll, and
    /// longer while it goes on.
    pub(crate) fn wait(&mut self, cx: &Context<Config>) -> Duration {
        if cx.now.saturating_sub(self.at) > CONFLICT_MEMORY_MS {
            self.count = 0;
        }
        let longest = MIN_CONFLICT_WAIT_MS.saturating_mul(1 << self.count.min(16)).min(MAX_CONFLICT_WAIT_MS);
        *self = Conflicts { count: self.count.saturating_add(1), at: cx.now };
        Duration::from_millis(cx.random_between(longest * 2 / 3, longest))
    }
}

impl Stage {
    /// The Bot API method that it calls.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Stage::Off => "",
            Stage::DeleteWebhook => "deleteWebhook",
            Stage::Identify => "getMe",
            Stage::Probe | Stage::Listen => "getUpdates",
            Stage::SetWebhook => "setWebhook",
            Stage::CheckWebhook => "getWebhookInfo",
        }
    }
}

impl Poll {
    /// Whether this token is that of its request.
    pub fn awaits_answer(&self, token: u64) -> bool {
        !self.waiting && self.stage != Stage::Off && self.token == token
    }

    /// Whether this token is that of its timer.
    pub fn awaits_timer(&self, token: u64) -> bool {
        self.waiting && self.stage != Stage::Off && self.token == token
    }

    /// Whether there is a connection, or one being made.
    pub fn is_on(&self) -> bool {
        self.stage != Stage::Off
    }

    /// Whether the webhook is set up.
    pub fn has_webhook(&self) -> bool {
        self.stage == Stage::CheckWebhook
    }

    /// Whether it goes on by itself with what is still on its way.
    pub fn lives_in(&self, resumed: &Resumed) -> bool {
        let open = if self.waiting { &resumed.timers } else { &resumed.requests };
        self.stage != Stage::Off && open.contains(&self.token)
    }
}

/// How long it stands as proof that the platform answered, though it told to wait for this long. The wait is the
/// connector's alone: nothing else makes the connection anew before its next try is answered or lost.
pub(crate) fn good_for_wait(after: Duration) -> Duration {
    after + 3 * CALL_TIMEOUT
}

/// How long a proof stands: two long polls, or two checks of the webhook, may fail in a row before the channel counts as
/// disconnected.
pub(crate) fn good_for(config: &Config) -> Duration {
    let each = if config.webhook {
        WEBHOOK_CHECK_INTERVAL
    } else {
        Duration::from_secs(config.poll_timeout().into())
    };
    2 * (each + CALL_TIMEOUT) + CALL_TIMEOUT
}
