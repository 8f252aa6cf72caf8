//! Where a bot was addressed, for a connector whose platform has threads and replies: what is said there afterwards is
//! said to it too.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Most threads and messages that are remembered.
const MAX_THREADS: usize = 256;

/// The threads, and the messages that can be answered, in which the bot was addressed last. Kept in the connector's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Threads(VecDeque<String>);

impl Threads {
    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bot was addressed here. Of too many, the one that was quiet the longest is forgotten.
    pub fn note(&mut self, id: impl Into<String>) {
        let id = id.into();
        self.0.retain(|known| *known != id);
        if self.0.len() >= MAX_THREADS {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }

    /// Whether the bot was addressed here.
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|known| known == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_is_forgotten_first() {
        let mut threads = Threads::default();
        (0..MAX_THREADS).for_each(|id| threads.note(id.to_string()));
        threads.note("0");
        threads.note("more");
        assert_eq!(threads.0.len(), MAX_THREADS);
        assert!(threads.has("0") && threads.has("more") && threads.has("2") && !threads.has("1"));
    }
}
