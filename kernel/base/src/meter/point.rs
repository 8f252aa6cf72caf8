//! What happened within one step of the series behind the charts.

use serde::{Deserialize, Serialize};

use super::histogram::Distribution;

/// What happened within a minute, or an hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Point {
    /// Messages from people.
    pub messages_received: u64,
    /// Replies.
    pub messages_sent: u64,
    /// Turns that ended, in whatever way.
    pub turns: u64,
    /// Those of them that were put aside.
    pub turns_failed: u64,
    /// Tokens that models have read.
    pub input_tokens: u64,
    /// Tokens that models have written.
    pub output_tokens: u64,
    /// How long turns took that ended with a reply.
    pub latency: Distribution,
}

impl Point {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.beside(other) {
            *count = count.saturating_add(more);
        }
        self.latency.add(&other.latency);
    }

    /// What has come since an earlier state of the same counts.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut new = self.clone();
        for (count, before) in new.beside(earlier) {
            *count = count.saturating_sub(before);
        }
        new.latency = self.latency.since(&earlier.latency);
        new
    }

    /// Each count, and what the other one has of it.
    fn beside(&mut self, other: &Self) -> [(&mut u64, u64); 6] {
        [
            (&mut self.messages_received, other.messages_received),
            (&mut self.messages_sent, other.messages_sent),
            (&mut self.turns, other.turns),
            (&mut self.turns_failed, other.turns_failed),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
        ]
    }
}
