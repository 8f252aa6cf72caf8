//! Tells apart what a model thinks from what it says, where a server leaves both in one text; feature `http`.
//!
//! Models mark their thoughts with `<think>…</think>` at the beginning of an answer. Where the server has written the
//! first tag itself, only the last one is in the answer.
//!
//! ```
//! use prx_sdk::thinking::{Piece, Splitter};
//!
//! let mut splitter = Splitter::default();
//! let mut pieces = splitter.push("<think>Two and two.</th");
//! pieces.extend(splitter.push("ink>\n\nFour."));
//! pieces.extend(splitter.finish());
//! assert_eq!(pieces, [Piece::Thought("Two and two.".to_owned()), Piece::Said("Four.".to_owned())]);
//! ```

/// What thoughts stand between.
const TAGS: [(&str, &str); 6] = [
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
];

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// It is part of what the model thinks.
    Thought(String),
    /// It is part of the answer.
    Said(String),
}

/// Splits a text that comes in pieces, wherever they are cut.
#[derive(Debug, Default)]
pub struct Splitter {
    place: Place,
    /// What may be the beginning of a tag.
    held: String,
    /// Thoughts came before: the white space that follows them is no part of the answer.
    has_thought: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Nothing but white space has come, or thoughts have just ended.
    #[default]
    Beginning,
    /// Among thoughts that end with this.
    Thoughts(&'static str),
    /// The answer has begun: a tag in it is the model's own words.
    Answer,
}

impl Splitter {
    /// Takes a piece in.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while let Some(piece) = self.next() {
            pieces.extend(Some(piece).filter(|piece| !piece.is_empty()));
        }
        pieces
    }

    /// The text is at its end: what was held back of it.
    pub fn finish(&mut self) -> Option<Piece> {
        let rest = std::mem::take(&mut self.held);
        let rest = if self.place == Place::Beginning && self.has_thought {
            rest.trim_start().to_owned()
        } else {
            rest
        };
        let piece = match self.place {
            Place::Thoughts(_) => Piece::Thought(rest),
            Place::Beginning | Place::Answer => Piece::Said(rest),
        };
        Some(piece).filter(|piece| !piece.is_empty())
    }

    /// The next piece of what is held, which may be an empty one; none where more has to come first.
    fn next(&mut self) -> Option<Piece> {
        match self.place {
            Place::Answer => {
                Some(Piece::Said(std::mem::take(&mut self.held))).filter(|piece| !piece.is_empty())
            }
            Place::Beginning => {
                let begin = self.held.trim_start();
                if let Some((open, close)) = TAGS.iter().find(|(open, _)| begin.starts_with(open)) {
                    self.held = begin[open.len()..].to_owned();
                    self.place = Place::Thoughts(close);
                    return Some(Piece::Thought(String::new()));
                }
                let may_open = TAGS.iter().any(|(open, _)| open.starts_with(begin));
                if !may_open {
                    self.place = Place::Answer;
                    if self.has_thought {
                        self.held = begin.to_owned();
                    }
                }
                (!may_open).then(|| Piece::Said(String::new()))
            }
            Place::Thoughts(close) => self.thought(close),
        }
    }

    fn thought(&mut self, close: &'static str) -> Option<Piece> {
        if let Some(end) = self.held.find(close) {
            let thought = self.held[..end].to_owned();
            self.held = self.held[end + close.len()..].to_owned();
            (self.place, self.has_thought) = (Place::Beginning, true);
            return Some(Piece::Thought(thought));
        }
        let kept = (1..close.len()).rev().find(|length| self.held.ends_with(&close[..*length])).unwrap_or(0);
        let tail = self.held.split_off(self.held.len() - kept);
        let thought = std::mem::replace(&mut self.held, tail);
        Some(Piece::Thought(thought)).filter(|piece| !piece.is_empty())
    }
}

impl Piece {
    /// Its text, if it is part of the answer.
    pub fn said(self) -> Option<String> {
        match self {
            Self::Said(text) => Some(text),
            Self::Thought(_) => None,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Thought(text) | Self::Said(text) => text.is_empty(),
        }
    }
}

/// The answer without the thoughts at its beginning, where only the tag that ends them is in it, at the beginning or the
/// end of a line.
pub fn answer_of(text: String) -> String {
    for (open, close) in TAGS {
        let Some((thoughts, answer)) = text.split_once(close) else { continue };
        let begins_line = thoughts.trim_end_matches([' ', '\t']).ends_with('\n') || thoughts.is_empty();
        let ends_line = answer.is_empty() || answer.starts_with(['\n', '\r']);
        if !thoughts.contains(open) && (begins_line || ends_line) {
            return answer.trim_start().to_owned();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is thought and what is said, which is the same however the text is cut in two.
    fn split(text: &str) -> (String, String) {
        let of = |cut: usize| {
            let (mut thought, mut said) = (String::new(), String::new());
            let mut splitter = Splitter::default();
            let mut pieces = splitter.push(&text[..cut]);
            pieces.extend(splitter.push(&text[cut..]));
            pieces.extend(splitter.finish());
            for piece in pieces {
                match piece {
                    Piece::Thought(text) => thought.push_str(&text),
                    Piece::Said(text) => said.push_str(&text),
                }
            }
            (thought, said)
        };
        let whole = of(text.len());
        for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            assert_eq!(of(cut), whole, "{text:?} cut at {cut}");
        }
        whole
    }

    #[test]
    fn thoughts_at_the_beginning_are_told_apart() {
        for (text, thought, said) in [
            ("<think>Hm.</think>Yes.", "Hm.", "Yes."),
            ("\n<think>\nHm, 3 < 4 </thin> ü\n</think>\n\nYes.", "\nHm, 3 < 4 </thin> ü\n", "Yes."),
            ("<thinking>Hm.</thinking> <think>So.</think> Yes.", "Hm.So.", "Yes."),
            ("<think></think>Yes.", "", "Yes."),
            ("[THINK]Hm, [0][/THINK]Yes.", "Hm, [0]", "Yes."),
            ("<seed:think>Hm.</seed:think>\nYes.", "Hm.", "Yes."),
            ("[TH] is a line.", "", "[TH] is a line."),
            ("<think>Hm.", "Hm.", ""),
            ("<think>Hm.</thi", "Hm.</thi", ""),
            ("  Yes: <think> is a tag.</think>", "", "  Yes: <think> is a tag.</think>"),
            ("<table>", "", "<table>"),
            ("<thi", "", "<thi"),
            ("", "", ""),
        ] {
            assert_eq!(split(text), (thought.to_owned(), said.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn thoughts_without_their_first_tag_are_left_out() {
        for (text, answer) in [
            ("Two and two.\n</think>\n\nFour.", "Four."),
            ("Two and two.</think>\nFour.", "Four."),
            ("</think>Four.", "Four."),
            ("Hm.\n</reasoning>\nFour.", "Four."),
            ("Hm.\n[/THINK]\nFour.", "Four."),
            ("Close it with `</think>` then.", "Close it with `</think>` then."),
            ("Write <think>…\n</think>\n around it.", "Write <think>…\n</think>\n around it."),
        ] {
            assert_eq!(answer_of(text.to_owned()), answer, "{text:?}");
        }
    }
}
