//! Fenced code blocks, and how one goes on in another message.

use crate::markdown::parser;
use pulldown_cmark::{CodeBlockKind, Event, Tag, TagEnd};

/// Most bytes of what stands before a fence, and of its opening line, that are repeated in each message.
const MAX_LINE_BYTES: usize = 100;

/// A fenced code block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fence<'a> {
    /// Where its opening line's fence begins.
    pub(super) begin: usize,
    /// Behind its closing fence; without one it has no end.
    pub(super) end: usize,
    pub(super) is_closed: bool,
    /// What stands before the fence in its line: the markers of lists and quotes.
    prefix: &'a str,
    /// The fence and what is said of the language.
    opening: &'a str,
    marks: &'a str,
    in_list: bool,
}

/// The fenced code blocks of a text, in order. Those whose opening would be too long to repeat are left out.
pub(super) fn fences(text: &str) -> Vec<Fence<'_>> {
    // Only blocks matter here. A block has a fence, so that most texts need no parser.
    if !text.contains("```") && !text.contains("~~~") {
        return Vec::new();
    }
    let (mut fences, mut lists) = (Vec::new(), 0_usize);
    for (event, range) in parser(text).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => {
                fences.extend(Fence::read(text, (range.start, range.end), lists > 0));
            }
            Event::Start(Tag::Item) => lists += 1,
            Event::End(TagEnd::Item) => lists = lists.saturating_sub(1),
            _ => {}
        }
    }
    fences
}

impl<'a> Fence<'a> {
    fn read(text: &'a str, (begin, end): (usize, usize), in_list: bool) -> Option<Fence<'a>> {
        let line = text[..begin].rfind('\n').map_or(0, |at| at + 1);
        let block = &text[begin..end];
        let opening = block.lines().next()?.trim();
        let mark = opening.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let begin = begin + block.len() - block.trim_start().len();
        let prefix = &text[line..begin];
        let marks = &opening[..opening.len() - opening.trim_start_matches(mark).len()];
        if prefix.len() + opening.len() > MAX_LINE_BYTES {
            return None;
        }
        let fence = Fence { begin, end, is_closed: false, prefix, opening, marks, in_list };
        let last = block.trim_end().lines().skip(1).last();
        // Where a list or a quote ends, its blocks do.
        let is_closed = end < text.trim_end().len() || last.is_some_and(|line| fence.is_closed_by(line));
        Some(if is_closed { Fence { is_closed, ..fence } } else { Fence { end: usize::MAX, ..fence } })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let text = line.trim_start_matches([' ', '\t', '>']).trim_end();
        text.len() >= self.marks.len()
            && self.marks.chars().next().is_some_and(|mark| text.chars().all(|c| c == mark))
    }

    /// The line that ends the block: as deep in lists and quotes as the one that began it.
    pub(super) fn closing(&self) -> String {
        let mut line: String = self.prefix.chars().map(|c| if c == '>' { '>' } else { ' ' }).collect();
        line.push_str(self.marks);
        line
    }

    /// The length of that line in UTF-16 units.
    pub(super) fn closing_units(&self) -> usize {
        self.prefix.chars().count() + self.marks.len()
    }

    /// The block begun again with what is left of it: out of the lists and quotes that it was in.
    /// `in_line`: its first line is what is left of one that was cut.
    pub(super) fn reopened(&self, rest: &str, in_line: bool) -> String {
        let mut out = String::with_capacity(self.opening.len() + 1 + rest.len());
        out.push_str(self.opening);
        out.push('\n');
        if self.prefix.is_empty() {
            out.push_str(rest);
            return out;
        }
        let (begun, mut left) =
            rest.split_at(if in_line { rest.find('\n').map_or(rest.len(), |at| at + 1) } else { 0 });
        out.push_str(begun);
        while let Some(line) = left.split_inclusive('\n').next() {
            let Some(code) = self.code_of(line) else {
                out.push_str(self.marks);
                out.push('\n');
                break;
            };
            out.push_str(code);
            left = &left[line.len()..];
            if self.is_closed_by(line) {
                break;
            }
        }
        out.push_str(left);
        out
    }

    /// A line of the block without the prefix that it has for its depth. None: it is no line of the block any more.
    fn code_of<'b>(&self, line: &'b str) -> Option<&'b str> {
        let quotes = self.prefix.matches('>').count();
        let (mut rest, mut quoted) = (line, 0);
        for _ in self.prefix.chars() {
            match rest.chars().next() {
                Some(' ' | '\t') => rest = &rest[1..],
                Some('>') if quoted < quotes => {
                    quoted += 1;
                    rest = &rest[1..];
                }
                _ => break,
            }
        }
        let is_blank = line.trim().is_empty();
        let is_out =
            quoted < quotes || (self.in_list && quotes == 0 && !is_blank && rest.len() == line.len());
        (!is_out).then_some(rest)
    }
}
