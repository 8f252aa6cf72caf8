//! How far the channel is with getting its updates.

use std::time::Duration;

use prx_sdk::connector::Resumed;
use serde::{Deserialize, Serialize};

use crate::call::CALL_TIMEOUT;
use crate::config::Config;

/// The time between two checks of the webhook.
pub(crate) const WEBHOOK_CHECK_INTERVAL: Duration = Duration::from_secs(60);

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
