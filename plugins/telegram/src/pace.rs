//! The platform's rate limits of single chats: waits that it asked for, and how often a message in a group may change.

use std::time::Duration;

use prx_sdk::connector::UnixMs;
use serde::{Deserialize, Serialize};

/// The shortest time between two changes of messages in a group, in milliseconds: the platform takes 20 a minute there,
/// replies among them.
const GROUP_EDIT_INTERVAL_MS: u64 = 3_200;
/// Most chats that are remembered.
const MAX_CHATS: usize = 256;

/// Chats that take nothing, or no change of a message, before a time.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    held: Vec<(i64, UnixMs)>,
    edits: Vec<(i64, UnixMs)>,
}

impl Pace {
    /// Whether no chat has to wait.
    pub fn is_free(&self) -> bool {
        self.held.is_empty() && self.edits.is_empty()
    }

    /// How long a call to a chat has to wait. None: it may go out now.
    pub(crate) fn wait(&mut self, now: UnixMs, chat: i64, is_edit: bool) -> Option<Duration> {
        for chats in [&mut self.held, &mut self.edits] {
            chats.retain(|(_, until)| *until > now);
        }
        let edits = self.edits.iter().filter(|_| is_edit);
        let until =
            self.held.iter().chain(edits).filter(|(other, _)| *other == chat).map(|(_, until)| *until).max();
        if until.is_none() && chat < 0 {
            set(&mut self.edits, chat, now.saturating_add(GROUP_EDIT_INTERVAL_MS));
        }
        until.map(|until| Duration::from_millis(until - now))
    }

    /// Whether a chat takes nothing now.
    pub(crate) fn is_held(&self, now: UnixMs, chat: i64) -> bool {
        self.held.iter().any(|(held, until)| *held == chat && *until > now)
    }

    /// The platform takes nothing for this chat for so long.
    pub(crate) fn hold(&mut self, now: UnixMs, chat: i64, after: Duration) {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        set(&mut self.held, chat, now.saturating_add(after));
    }
}

fn set(chats: &mut Vec<(i64, UnixMs)>, chat: i64, until: UnixMs) {
    chats.retain(|(other, _)| *other != chat);
    if chats.len() >= MAX_CHATS {
        chats.remove(0);
    }
    chats.push((chat, until));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_takes_less_than_twenty_changes_a_minute_and_a_person_any() {
        let mut pace = Pace::default();
        let mut taken =
            |chat| (0..60_000).step_by(50).filter(|now| pace.wait(1 + now, chat, true).is_none()).count();
        assert_eq!((taken(-5), taken(7)), (19, 1_200));
        assert_eq!(pace.wait(200_000, -5, false), None);
        assert_eq!(pace.wait(200_000, -5, false), None, "replies do not wait");
        assert_eq!(pace.wait(200_000, -5, true), Some(Duration::from_millis(GROUP_EDIT_INTERVAL_MS)));
        pace.hold(200_000, 7, Duration::from_secs(9));
        assert_eq!(pace.wait(201_000, 7, false), Some(Duration::from_secs(8)));
        assert_eq!((pace.wait(209_000, 7, true), pace.is_free()), (None, true));
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut pace = Pace::default();
        for chat in 0..10_000 {
            pace.hold(1, chat, Duration::MAX);
            pace.wait(1, -chat, true);
        }
        assert_eq!((pace.held.len(), pace.edits.len()), (MAX_CHATS, MAX_CHATS));
    }
}
