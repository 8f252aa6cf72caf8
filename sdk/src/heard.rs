//! Which messages were heard, for a connector that also takes edited ones: an edit that has a message speak to the bot is
//! as good as a new message, and any other edit repeats nothing.

use crate::types::UnixMs;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Most messages that are remembered.
const MAX_HEARD: usize = 128;

/// The messages heard last. Kept in the connector's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heard {
    /// Of messages sent up to then it is not known whether they were heard; 0: nothing was noted yet.
    since: UnixMs,
    /// The platform's ids, and when they were sent.
    messages: VecDeque<(String, UnixMs)>,
}

impl Heard {
    /// Whether nothing was noted yet.
    pub fn is_empty(&self) -> bool {
        self.since == 0
    }

    /// Begins to remember, unless it has begun before.
    pub fn begin(&mut self, now: UnixMs) {
        if self.since == 0 {
            self.since = now;
        }
    }

    /// A message was heard.
    pub fn note(&mut self, id: impl Into<String>, sent_at: UnixMs) {
        self.messages.push_back((id.into(), sent_at));
        if self.messages.len() > MAX_HEARD
            && let Some((_, sent_at)) = self.messages.pop_front()
        {
            self.since = self.since.max(sent_at);
        }
    }

    /// Whether a message was certainly not heard before it was edited.
    pub fn is_new(&self, id: &str, sent_at: UnixMs) -> bool {
        self.since > 0 && sent_at > self.since && self.messages.iter().all(|(heard, _)| heard != id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_known_and_what_may_have_been_is_not_new() {
        let mut heard = Heard::default();
        assert!(!heard.is_new("1", 5_000), "nothing is known yet");
        heard.begin(4_000);
        heard.begin(9_000);
        assert!(heard.is_new("1", 5_000) && !heard.is_new("0", 4_000));
        heard.note("1", 5_000);
        assert!(!heard.is_new("1", 5_000) && heard.is_new("2", 5_001));
        (0..MAX_HEARD).for_each(|n| heard.note(format!("later {n}"), 6_000));
        assert!(!heard.is_new("1", 5_000), "it was forgotten, and so is what was sent before");
        assert!(heard.is_new("3", 6_001));
        assert_eq!(heard.messages.len(), MAX_HEARD);
    }
}
