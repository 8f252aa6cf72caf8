//! Whether the server takes rich messages.

use prx_sdk::connector::UnixMs;
use serde::{Deserialize, Serialize};

/// How long a server that has no rich messages is not asked for them again, in milliseconds.
const RETRY_MS: u64 = 24 * 60 * 60 * 1000;

/// What is known of it: nothing, or that it has none. Kept in the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Support {
    /// It is not asked before this.
    lacking_until: UnixMs,
}

impl Support {
    /// Whether nothing is known against it.
    pub(crate) fn is_open(&self) -> bool {
        self.lacking_until == 0
    }

    /// Whether the server may be asked.
    pub(crate) fn may_have(&self, now: UnixMs) -> bool {
        // A clock that was set back makes no longer wait.
        self.lacking_until <= now || self.lacking_until > now.saturating_add(RETRY_MS)
    }

    /// The server has none. Returns whether that is news.
    pub(crate) fn lacks(&mut self, now: UnixMs) -> bool {
        let is_news = self.may_have(now);
        self.lacking_until = now.saturating_add(RETRY_MS);
        is_news
    }

    /// It may be another server.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}
