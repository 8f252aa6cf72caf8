//! Signs that mean themselves, hidden from the parser.

use std::borrow::Cow;

/// ASCII signs and what stands for each: a control character, which no text has.
const ASCII: [(char, char); 13] = [
    ('_', '\u{1}'),
    ('*', '\u{2}'),
    ('~', '\u{3}'),
    ('\\', '\u{4}'),
    ('<', '\u{5}'),
    ('.', '\u{e}'),
    (',', '\u{f}'),
    (':', '\u{10}'),
    (';', '\u{11}'),
    ('!', '\u{12}'),
    ('?', '\u{13}'),
    ('%', '\u{14}'),
    ('$', '\u{15}'),
];

/// Punctuation of three bytes, by block: its first character, and the one of private use that stands for that.
const BLOCKS: [(u32, u32, u32); 3] =
    [(0x2010, 0x206f, 0xe010), (0x3000, 0x303f, 0xe100), (0xff00, 0xffef, 0xe200)];

const OPENING: &str = "“‘（「『【《〈";
const CLOSING: &str = "。，：；！？、…”’）」』】》〉.,:;!?%";

/// Most bytes of a formula between `\(` and `\)`.
const MAX_FORMULA_BYTES: usize = 2000;

/// The text with every sign that means itself replaced by a character that means nothing to the parser: in bare links,
/// paths, names like `__init__.py`, products like `2*3*4`, formulas and tags. Of the same length.
pub fn shielded(text: &str) -> Cow<'_, str> {
    let mut shield = Shield { text, out: String::new(), copied: 0 };
    let mut at = 0;
    while let Some(next) = text[at..].find(is_of_interest) {
        at += next;
        at = match text.as_bytes()[at] {
            b'<' => shield.tag(at),
            b'h' => shield.link(at),
            b'\\' => shield.backslash(at),
            b'_' | b'*' | b'~' => shield.run(at),
            _ => shield.hide(at),
        };
    }
    shield.finish()
}

/// What a character of a shielded text stands for.
pub fn restored(c: char) -> char {
    match c {
        '\u{1}'..='\u{1f}' => ASCII.iter().find(|(_, hidden)| *hidden == c).map_or(c, |(sign, _)| *sign),
        '\u{e000}'..='\u{e2ff}' => {
            let code = u32::from(c);
            let block =
                BLOCKS.iter().find(|(first, last, hidden)| (*hidden..=hidden + last - first).contains(&code));
            block.and_then(|(first, _, hidden)| char::from_u32(code - hidden + first)).unwrap_or(c)
        }
        c => c,
    }
}

fn hidden(c: char) -> Option<char> {
    if c.is_ascii() {
        return ASCII.iter().find(|(sign, _)| *sign == c).map(|(_, hidden)| *hidden);
    }
    let code = u32::from(c);
    let (first, _, hidden) = BLOCKS.iter().find(|(first, last, _)| (*first..=*last).contains(&code))?;
    char::from_u32(code - first + hidden)
}

fn is_of_interest(c: char) -> bool {
    matches!(c, '<' | 'h' | '\\' | '_' | '*' | '~') || restored(c) != c
}

/// A text with some of its characters replaced; nothing is copied before the first one is.
struct Shield<'a> {
    text: &'a str,
    out: String,
    copied: usize,
}

impl<'a> Shield<'a> {
    /// Hides the character at this place. One that stands for another makes way: the text itself has none.
    fn hide(&mut self, at: usize) -> usize {
        let Some(c) = self.text[at..].chars().next() else { return self.text.len() };
        let end = at + c.len_utf8();
        let by = if restored(c) == c { hidden(c) } else { Some(if c.is_ascii() { ' ' } else { '\u{fffd}' }) };
        if let Some(by) = by {
            self.out.push_str(&self.text[self.copied..at]);
            self.out.push(by);
            self.copied = end;
        }
        end
    }

    /// Hides each of these signs between two places.
    fn hide_all(&mut self, (from, to): (usize, usize), signs: &[char]) -> usize {
        let mut at = from;
        while let Some(next) = self.text[at..to].find(|c| signs.contains(&c) || restored(c) != c) {
            at = self.hide(at + next);
        }
        to
    }

    fn finish(mut self) -> Cow<'a, str> {
        if self.copied == 0 {
            return Cow::Borrowed(self.text);
        }
        self.out.push_str(&self.text[self.copied..]);
        Cow::Owned(self.out)
    }

    /// What may be a tag: a link in angle brackets is one for the parser, any other is text.
    fn tag(&mut self, at: usize) -> usize {
        let rest = &self.text[at + 1..];
        if !["http://", "https://", "mailto:"].iter().any(|scheme| rest.starts_with(scheme)) {
            return self.hide(at);
        }
        at + 1
            + rest
                .find(|c: char| c.is_whitespace() || c.is_control() || "<>".contains(c))
                .unwrap_or(rest.len())
    }

    fn before(&self, at: usize) -> Option<char> {
        self.text[..at].chars().next_back()
    }

    /// A bare link: no sign in it means anything. As others read it, punctuation at its end is none of it.
    fn link(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        let scheme = ["https://", "http://"].into_iter().find(|scheme| rest.starts_with(scheme));
        let Some(scheme) = scheme.filter(|_| !self.before(at).is_some_and(char::is_alphanumeric)) else {
            return at + 1;
        };
        let ends = |c: char| c.is_whitespace() || c.is_control() || "<>\"`|]".contains(c);
        let end = rest[scheme.len()..].find(ends).map_or(rest.len(), |end| scheme.len() + end);
        if ["](", "]: "].iter().any(|sign| self.text[..at].ends_with(sign)) {
            // Where a link leads, signs mean nothing; the parser takes no others there.
            return at + end;
        }
        let link = rest[..end].trim_end_matches(|c| "?!.,:;*_~')\u{201d}".contains(c));
        self.hide_all((at, at + link.len().max(scheme.len())), &['_', '*', '~'])
    }

    /// A backslash and what it is before; with `\(` and `\[ `, a formula.
    fn backslash(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        let end = match rest.as_bytes().get(1) {
            Some(b'(') => "\\)",
            Some(b'[') if rest[2..].starts_with(char::is_whitespace) => "\\]",
            Some(next) if next.is_ascii() => return at + 2,
            _ => return at + 1,
        };
        let near = &rest[2..rest.floor_char_boundary(MAX_FORMULA_BYTES)];
        match near.find(end) {
            Some(length) if !near[..length].contains("\n\n") => {
                self.hide_all((at, at + 2 + length + 2), &['\\', '_', '*', '~', '<', '$'])
            }
            _ => at + 2,
        }
    }

    /// A run of one sign.
    fn run(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        let Some(sign) = rest.chars().next() else { return self.text.len() };
        let end = at + rest.len() - rest.trim_start_matches(sign).len();
        let before = self.before(at);
        let mut following = self.text[end..].chars();
        let around = Around { before, after: following.next(), second: following.next() };
        let means_itself = match sign {
            '_' => around.is_in_a_name(),
            '*' => before == Some('/') || (end - at == 1 && around.is_in_a_word()),
            // One alone is no sign of anything.
            _ => end - at == 1,
        };
        if means_itself {
            return self.hide_all((at, end), &[sign]);
        }
        if end - at >= 2 && sign != '_' {
            self.stand_in_words(at, end, around);
        }
        end
    }

    /// Has marks begin before and end after punctuation in the midst of a text without spaces, as many scripts are.
    fn stand_in_words(&mut self, at: usize, end: usize, around: Around) {
        let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        if let Some(before) = around.before.filter(|c| CLOSING.contains(*c) && is_letter(around.after)) {
            let place = at - before.len_utf8();
            if place >= self.copied {
                self.hide(place);
            }
        } else if around.after.is_some_and(|c| OPENING.contains(c)) && is_letter(around.before) {
            self.hide(end);
        }
    }
}

/// What stands around a run.
#[derive(Clone, Copy)]
struct Around {
    before: Option<char>,
    after: Option<char>,
    second: Option<char>,
}

impl Around {
    fn is_in_a_word(self) -> bool {
        self.before.is_some_and(char::is_alphanumeric) && self.after.is_some_and(char::is_alphanumeric)
    }

    /// Whether it is part of a path or of a name that goes on: `/_old_/`, `__init__.py`, `__init__()`.
    fn is_in_a_name(self) -> bool {
        let begins = self.after.is_some_and(char::is_alphanumeric);
        let goes_on = match self.after {
            Some('/' | '\\' | '(') => true,
            Some('.' | '@' | ':') => self.second.is_some_and(|c| c.is_alphanumeric() || c == '_'),
            _ => false,
        };
        let is_path = begins && self.before.is_some_and(|c| "/\\.=@$".contains(c));
        is_path || (goes_on && self.before.is_some_and(char::is_alphanumeric))
    }
}
