//! Texts that take more than one message and are edited while they grow: which messages show which part of one, for a
//! connector whose platform edits one message at a time.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Most texts that are remembered.
const MAX_TEXTS: usize = 64;

/// A message that shows a part of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The platform's id of the message.
    pub id: String,
    /// The [`digest`] of what it says.
    pub digest: u64,
}

/// The texts of more than one message that were sent or edited last, each by its first message. Kept in the connector's
/// state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Continued(VecDeque<(String, Vec<Part>)>);

impl Continued {
    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The messages that show a text, in order; `first` names its first one, where ids are not unique with its place.
    pub fn parts(&self, first: &str) -> Vec<Part> {
        let found = self.0.iter().find(|(known, _)| known == first);
        found.map(|(_, parts)| parts.clone()).unwrap_or_default()
    }

    /// These messages show a text now. One message by itself needs no memory.
    pub fn note(&mut self, first: &str, parts: Vec<Part>) {
        self.forget(first);
        if parts.len() < 2 {
            return;
        }
        if self.0.len() >= MAX_TEXTS {
            self.0.pop_front();
        }
        self.0.push_back((first.to_owned(), parts));
    }

    /// A text is gone.
    pub fn forget(&mut self, first: &str) {
        self.0.retain(|(known, _)| known != first);
    }
}

/// A short number that is the same for the same text.
pub fn digest(text: &str) -> u64 {
    // FNV-1a: nobody gains by two texts of one number.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_of_several_messages_are_remembered_and_not_too_many() {
        let parts =
            |count: usize| (0..count).map(|id| Part { id: id.to_string(), digest: digest("a") }).collect();
        let mut continued = Continued::default();
        (0..=MAX_TEXTS).for_each(|text| continued.note(&text.to_string(), parts(2)));
        assert_eq!((continued.parts("0").len(), continued.parts("1").len()), (0, 2));
        continued.note("1", parts(3));
        assert_eq!(continued.parts("1").len(), 3);
        continued.note("1", parts(1));
        continued.forget("2");
        assert_eq!((continued.parts("1").len(), continued.parts("2").len()), (0, 0));
        assert_ne!(digest("a"), digest("b"));
    }
}
