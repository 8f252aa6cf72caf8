//! Texts too long for one message: lengths in UTF-16 units, and cuts that keep code blocks whole; feature `markdown`.
//!
//! ```
//! use prx_sdk::text;
//! let (part, rest) = text::cut("One paragraph.\n\nAnother one.", 20);
//! assert_eq!((part.as_str(), rest.as_str()), ("One paragraph.", "Another one."));
//! assert_eq!(text::units("🙂"), 2);
//! ```

mod fence;
#[cfg(test)]
mod tests;

use fence::{Fence, fences};
use unicode_segmentation::UnicodeSegmentation;

/// The length in UTF-16 units: as most platforms count, and never less than the number of characters.
pub fn units(text: &str) -> usize {
    // Quickly seen, and so of most texts.
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(char::len_utf16).sum()
}

/// Cuts off the first message of at most `limit` UTF-16 units: at a paragraph, else a line, else a word.
/// A code block that the cut goes through is closed in the first part and opened again in the rest.
pub fn cut(markdown: &str, limit: usize) -> (String, String) {
    let text = markdown.trim_matches(['\n', '\r']).trim_end();
    let end = byte_at_most(text, limit);
    if end == text.len() {
        return (text.to_owned(), String::new());
    }
    // What follows the line in which the limit lies does not matter: long texts are not read again for each part.
    let window = text[end..].find('\n').map_or(text.len(), |line| end + line).min(end + limit);
    let fences = fences(&text[..text.floor_char_boundary(window)]);
    let Cut { at, fence } = best_cut(text, limit, &fences);
    let (part, rest) = text.split_at(at);
    match fence {
        None => (part.trim_end().to_owned(), dedented(rest.trim_start_matches(['\n', '\r']))),
        Some(fence) => {
            let in_line = !part.ends_with('\n') && !rest.starts_with('\n');
            let rest = rest.strip_prefix('\n').unwrap_or(rest);
            let part = part.strip_suffix('\n').unwrap_or(part);
            (format!("{part}\n{}", fence.closing()), fence.reopened(rest, in_line))
        }
    }
}

/// A place to cut, and the code block that it lies in.
#[derive(Clone, Copy, Default)]
struct Cut<'a> {
    at: usize,
    fence: Option<&'a Fence<'a>>,
}

/// Candidates for a cut, the last of each kind.
#[derive(Default)]
struct Cuts<'a> {
    paragraph: Option<usize>,
    line: Option<Cut<'a>>,
    word: Option<Cut<'a>>,
    hard: Cut<'a>,
}

fn best_cut<'a>(text: &str, limit: usize, fences: &'a [Fence<'a>]) -> Cut<'a> {
    let cuts = survey(text, limit, fences);
    let half = byte_at_most(text, limit / 2);
    if let Some(at) = cuts.paragraph.filter(|at| *at >= half) {
        return Cut { at, fence: None };
    }
    cuts.line.filter(|cut| cut.at >= half).or(cuts.word).unwrap_or(cuts.hard)
}

fn survey<'a>(text: &str, limit: usize, fences: &'a [Fence<'a>]) -> Cuts<'a> {
    let mut cuts = Cuts::default();
    let mut fences = fences.iter().peekable();
    let (mut at, mut used) = (0, 0);
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        while fences.next_if(|fence| fence.end <= at).is_some() {}
        let fence = fences.peek().copied().filter(|fence| fence.begin < end);
        let opens = fence.is_some_and(|fence| fence.begin >= at);
        let closes = fence.is_some_and(|fence| fence.is_closed && fence.end <= end);
        let inside = fence.filter(|_| !opens);
        if at > 0 && inside.is_none() && line.trim().is_empty() {
            cuts.paragraph = Some(at);
        }
        let room = limit.saturating_sub(inside.map_or(0, |fence| fence.closing_units() + 1));
        let whole = used + units(line.trim_end_matches('\n'));
        if whole > room && !closes {
            cut_inside(&mut cuts, line, (at, room.saturating_sub(used)), inside);
            return cuts;
        }
        if whole > limit {
            return cuts;
        }
        (at, used) = (end, used + units(line));
        if !opens {
            let cut = Cut { at, fence: fence.filter(|_| !closes) };
            cuts.line = Some(cut);
            cuts.hard = cut;
        }
    }
    cuts
}

/// The last word border and the last border between characters, as people see them, within `room` units of the line at
/// `at`.
fn cut_inside<'a>(cuts: &mut Cuts<'a>, line: &str, (at, room): (usize, usize), fence: Option<&'a Fence<'a>>) {
    let end = byte_at_most(line, room);
    let begin = line.len() - line.trim_start().len();
    if let Some((index, _)) =
        line.char_indices().take_while(|(index, _)| *index <= end).filter(|(_, c)| c.is_whitespace()).last()
        && index > begin
    {
        cuts.word = Some(Cut { at: at + index, fence });
    }
    // Looked for backwards, so that it costs the same wherever the end is. What is longer than a message is cut anyway.
    let near = line.floor_char_boundary(end.saturating_sub(MAX_GRAPHEME_BYTES));
    let borders = line[near..].grapheme_indices(true).map(|(index, _)| near + index);
    let border = borders.take_while(|index| *index <= end).last().filter(|index| *index > near);
    let hard = if end == line.len() { end } else { border.unwrap_or(end) };
    if hard > 0 {
        cuts.hard = Cut { at: at + hard, fence };
    }
}

/// Most bytes of one character as people see them that a cut goes around.
const MAX_GRAPHEME_BYTES: usize = 200;

/// The text without the indentation of its first line, which the lines that follow have too: in a list, say.
fn dedented(text: &str) -> String {
    let indent = text.len() - text.trim_start_matches(' ').len();
    if indent == 0 {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let line = rest.split_inclusive('\n').next().unwrap_or_default();
        let depth = line.len() - line.trim_start_matches(' ').len();
        let is_blank = line.trim().is_empty();
        if line.is_empty() || (depth < indent && !is_blank) {
            break;
        }
        out.push_str(&line[depth.min(indent)..]);
        rest = &rest[line.len()..];
    }
    out.push_str(rest);
    out
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
