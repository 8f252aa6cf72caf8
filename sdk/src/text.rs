//! Texts too long for one message: lengths in UTF-16 units, and cuts that hurt nothing.
//!
//! ```
//! use prx_sdk::text;
//! let (part, rest) = text::cut("One paragraph.\n\nAnother one.", 20);
//! assert_eq!((part.as_str(), rest.as_str()), ("One paragraph.", "Another one."));
//! assert_eq!(text::units("🙂"), 2);
//! ```

/// A longer opening line of a code block is taken for text, so that repeating it stays cheap.
const LONGEST_FENCE: usize = 100;

/// The length in UTF-16 units: as most platforms count, and never less than the number of characters.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The opening of a fenced code block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence<'a> {
    line: &'a str,
    mark: char,
    count: usize,
    /// What follows the marker, which is the language if anything.
    pub language: &'a str,
}

impl<'a> Fence<'a> {
    /// The code block that this line opens.
    pub fn open(line: &'a str) -> Option<Fence<'a>> {
        let text = line.trim_end();
        let inner = text.trim_start_matches(' ');
        let mark = inner.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let language = inner.trim_start_matches(mark);
        let count = inner.len() - language.len();
        let plain = text.len() - inner.len() <= 3 && text.len() <= LONGEST_FENCE && !language.contains('`');
        (plain && count >= 3).then(|| Fence { line: text, mark, count, language: language.trim() })
    }

    /// Whether this line ends the block.
    pub fn is_closed_by(&self, line: &str) -> bool {
        let text = line.trim();
        text.len() >= self.count && text.chars().all(|c| c == self.mark)
    }

    fn closing(&self) -> String {
        std::iter::repeat_n(self.mark, self.count).collect()
    }
}

/// Cuts off the first message of at most `limit` UTF-16 units: at a paragraph, else a line, else a word.
/// A code block that the cut goes through is closed in the first part and opened again in the rest.
pub fn cut(markdown: &str, limit: usize) -> (String, String) {
    let text = markdown.trim_matches(['\n', '\r']).trim_end();
    if byte_at_most(text, limit) == text.len() {
        return (text.to_owned(), String::new());
    }
    let (at, fence) = best_cut(text, limit);
    let (part, rest) = text.split_at(at);
    match fence {
        None => (part.trim_end().to_owned(), rest.trim_start_matches(['\n', '\r', ' ']).to_owned()),
        Some(fence) => {
            let rest = rest.strip_prefix('\n').unwrap_or(rest);
            let part = part.strip_suffix('\n').unwrap_or(part);
            (format!("{part}\n{}", fence.closing()), format!("{}\n{rest}", fence.line))
        }
    }
}

/// Candidates for a cut, the last of each kind, each with the code block that it lies in.
#[derive(Default)]
struct Cuts<'a> {
    paragraph: Option<usize>,
    line: Option<(usize, Option<Fence<'a>>)>,
    word: Option<(usize, Option<Fence<'a>>)>,
    hard: (usize, Option<Fence<'a>>),
}

fn best_cut(text: &str, limit: usize) -> (usize, Option<Fence<'_>>) {
    let cuts = survey(text, limit);
    let half = byte_at_most(text, limit / 2);
    if let Some(at) = cuts.paragraph.filter(|at| *at >= half) {
        return (at, None);
    }
    cuts.line.filter(|(at, _)| *at >= half).or(cuts.word).unwrap_or(cuts.hard)
}

fn survey(text: &str, limit: usize) -> Cuts<'_> {
    let mut cuts = Cuts::default();
    let mut fence: Option<Fence> = None;
    let (mut at, mut used) = (0, 0);
    for line in text.split_inclusive('\n') {
        let opened = if fence.is_none() { Fence::open(line) } else { None };
        let closed = fence.is_some_and(|open| open.is_closed_by(line));
        if at > 0 && fence.is_none() && line.trim().is_empty() {
            cuts.paragraph = Some(at);
        }
        let room = limit.saturating_sub(fence.map_or(0, |open| open.count + 1));
        let whole = used + units(line.trim_end_matches('\n'));
        if whole > room && !closed {
            cut_inside(&mut cuts, line, (at, room.saturating_sub(used)), fence);
            return cuts;
        }
        if whole > limit {
            return cuts;
        }
        (at, used) = (at + line.len(), used + units(line));
        fence = if closed { None } else { opened.or(fence) };
        if opened.is_none() {
            cuts.line = Some((at, fence));
            cuts.hard = (at, fence);
        }
    }
    cuts
}

/// The last word border and the last character border within `room` units of the line at `at`.
fn cut_inside<'a>(cuts: &mut Cuts<'a>, line: &str, (at, room): (usize, usize), fence: Option<Fence<'a>>) {
    let (mut used, mut in_text) = (0, false);
    for (index, c) in line.char_indices() {
        if in_text && c.is_whitespace() {
            cuts.word = Some((at + index, fence));
        }
        in_text |= !c.is_whitespace();
        used += c.len_utf16();
        if used > room {
            break;
        }
        cuts.hard = (at + index + c.len_utf8(), fence);
    }
}

fn byte_at_most(text: &str, limit: usize) -> usize {
    let mut used = 0;
    text.char_indices()
        .find(|(_, c)| {
            used += c.len_utf16();
            used > limit
        })
        .map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Chance;

    fn parts(markdown: &str, limit: usize) -> Vec<String> {
        let (mut parts, mut rest) = (Vec::new(), markdown.to_owned());
        while !rest.is_empty() {
            let (part, next) = cut(&rest, limit);
            assert!(next.len() < rest.len() || next.is_empty(), "no progress: {rest:?}");
            assert!(units(&part) <= limit, "{} units: {part:?}", units(&part));
            parts.push(part);
            rest = next;
        }
        parts
    }

    fn fences_of(part: &str) -> Option<Fence<'_>> {
        part.lines().fold(None, |open: Option<Fence>, line| match open {
            Some(fence) if fence.is_closed_by(line) => None,
            Some(fence) => Some(fence),
            None => Fence::open(line),
        })
    }

    #[test]
    fn what_fits_stays_whole() {
        assert_eq!(parts("hello\n\nworld\n", 256), ["hello\n\nworld"]);
        assert_eq!(parts(&"x".repeat(4096), 4096).len(), 1);
        assert_eq!(
            parts(&"x".repeat(10_000), 4096).iter().map(|p| p.len()).collect::<Vec<_>>(),
            [4096, 4096, 1808]
        );
    }

    #[test]
    fn units_are_utf16_and_a_pair_is_never_split() {
        assert_eq!(units("a\u{1F600}ß"), 4);
        let parts = parts(&"\u{1F600}".repeat(300), 257);
        assert_eq!(parts.iter().map(|p| units(p)).collect::<Vec<_>>(), [256, 256, 88]);
    }

    #[test]
    fn cuts_at_a_paragraph_then_a_line_then_a_word() {
        let sentence = "word ".repeat(30);
        let paragraph = format!("{sentence}\n{sentence}");
        assert_eq!(cut(&format!("{sentence}\n\n{paragraph}"), 256).0, sentence.trim_end());
        assert_eq!(cut(&paragraph, 256).0, sentence.trim_end());
        let (part, rest) = cut(&"word ".repeat(100), 256);
        assert_eq!((part.len(), rest.starts_with("word")), (254, true));
    }

    #[test]
    fn a_code_block_is_closed_and_opened_again() {
        let code = (0..40).map(|i| format!("let x{i} = {i};\n")).collect::<String>();
        let parts = parts(&format!("Look:\n\n```rust\n{code}```\ndone"), 256);
        assert!(parts.len() > 2);
        assert!(parts.iter().all(|part| fences_of(part).is_none()), "{parts:#?}");
        assert!(parts[1].starts_with("```rust\nlet x"));
        let lines = parts.iter().flat_map(|p| p.lines()).filter(|line| line.starts_with("let"));
        assert_eq!(lines.map(|line| format!("{line}\n")).collect::<String>(), code);
    }

    #[test]
    fn an_endless_line_of_code_still_ends() {
        let parts = parts(&format!("```\n   {}", "y".repeat(1000)), 256);
        assert!(parts.iter().all(|part| part.starts_with("```\n")));
        assert_eq!(parts.concat().matches('y').count(), 1000);
    }

    #[test]
    fn any_text_comes_through_in_order_with_every_fence_closed() {
        let mut chance = Chance::new(7);
        let pieces = [
            "```rust\n",
            "```\n",
            "~~~~\n",
            "\n\n",
            "word ",
            "\u{1F600}",
            "ßßß",
            " ",
            "\r\n",
            "x".repeat(90).leak(),
        ];
        for _ in 0..2000 {
            let text: String = (0..chance.below(60)).map(|_| pieces[chance.below(pieces.len())]).collect();
            let parts = parts(&text, 256);
            let letters = |text: &str| text.chars().filter(|c| "wodxß\u{1F600}".contains(*c)).count();
            assert!(parts.iter().map(|part| letters(part)).sum::<usize>() >= letters(&text));
            let cut_off = parts.iter().rev().skip(1).find(|part| fences_of(part).is_some());
            assert_eq!(cut_off, None, "{text:?}");
        }
    }
}
