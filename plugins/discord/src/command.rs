//! Slash commands whose answers are pending.

use serde::{Deserialize, Serialize};

use crate::message::made_at;

/// How long a command can be answered, in milliseconds: a little less than the platform's 15 minutes.
const REPLY_WINDOW_MS: u64 = 14 * 60_000;

/// A command that was answered with "wait", and under which token the rest of the answer goes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingCommand {
    pub id: String,
    pub application: String,
    pub token: String,
}

impl PendingCommand {
    /// Whether it can still be answered.
    pub(crate) fn is_repliable(&self, now: u64) -> bool {
        now.saturating_sub(made_at(&self.id)) < REPLY_WINDOW_MS
    }
}
