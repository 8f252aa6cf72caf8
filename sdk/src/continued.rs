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

/// A text on its way, part by part: the messages whose places its parts take, and those that it has become. Kept in the
/// connector's state with the rest of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Replacing {
    /// The messages that show the text so far, from the one after the next on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shown: Vec<Part>,
    /// What the message that is edited next shows so far; 0: that is not known.
    #[serde(skip_serializing_if = "is_zero")]
    before: u64,
    /// The messages that it has become so far.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    became: Vec<Part>,
}

impl Replacing {
    /// Has the parts of the text take the places of these, the first of which is edited next.
    pub fn follow(&mut self, shown: Vec<Part>) {
        let mut shown = shown.into_iter();
        self.before = shown.next().map_or(0, |first| first.digest);
        self.shown = shown.collect();
    }

    /// Whether the message that is edited next shows just this already.
    pub fn is_shown(&self, part: &str) -> bool {
        self.before != 0 && self.before == digest(part)
    }

    /// This part of the text is in that message now.
    pub fn note(&mut self, id: String, part: &str) {
        self.became.push(Part { id, digest: digest(part) });
    }

    /// Goes on to the message whose place the next part takes; none: it is a new one.
    pub fn go_on(&mut self) -> Option<String> {
        let Part { id, digest } = (!self.shown.is_empty()).then(|| self.shown.remove(0))?;
        self.before = digest;
        Some(id)
    }

    /// The messages that show the text now.
    pub fn became(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.became)
    }
}

/// A part with a word at its end that it may be there already: it is sent once more, and nobody knows whether it arrived.
pub fn maybe_repeated(part: &str) -> String {
    let end = if part.is_empty() { "" } else { "\n\n" };
    format!("{part}{end}(maybe a repetition)")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(digest: &u64) -> bool {
    *digest == 0
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
