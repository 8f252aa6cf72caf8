//! Markdown as models write it, as the HTML that the platform reads. Lines, lists and whatever else the platform has no
//! marks for stay as they were written.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;

use prx_sdk::markdown::{Table, parser, restored, shielded};
use prx_sdk::text::units;
use pulldown_cmark::{CodeBlockKind, CowStr, Event, LinkType, Tag, TagEnd};

/// Most marks that lie in each other; deeper ones are left out.
const MAX_DEPTH: usize = 6;
/// Begins and ends what is hidden until it is touched.
pub(crate) const SPOILER: &str = "||";
/// What a link may lead to.
pub(crate) const SCHEMES: [&str; 4] = ["https://", "http://", "tg://", "mailto:"];

/// The HTML of a Markdown text. Its tags are always closed in order; its text is never longer than the Markdown or than
/// `limit` UTF-16 units, whichever is more.
pub(crate) fn render(markdown: &str, limit: usize) -> String {
    let source = shielded(markdown);
    let mut html = Html {
        source: &source,
        spoilers: if markdown.contains(SPOILER) { spoilers(&source) } else { BTreeMap::new() },
        out: String::with_capacity(markdown.len() + markdown.len() / 8),
        spare: limit.saturating_sub(units(markdown)),
        ..Html::default()
    };
    let mut events = parser(&source).into_offset_iter().peekable();
    while let Some((event, range)) = events.next() {
        if let (Event::Start(Tag::Emphasis), Some((Event::Start(Tag::Strong), inner))) =
            (&event, events.peek())
        {
            html.swapped = *inner == (range.start + 1..range.end.saturating_sub(1));
        }
        html.take(event, range);
    }
    // Definitions alone say nothing, and the platform takes no empty message.
    if html.out.trim().is_empty() {
        html.out.clear();
        escape(&source, &mut html.out);
    }
    html.out
}

/// HTML in the making.
#[derive(Default)]
struct Html<'a> {
    source: &'a str,
    out: String,
    /// Up to here the source is rendered, but for what lies between two blocks.
    at: usize,
    /// The end of the last inline event.
    inline_at: usize,
    /// The marks that are open.
    marks: Vec<Mark<'a>>,
    /// The next strong text and the emphasis around it begin and end together: `***both***`.
    swapped: bool,
    lists: usize,
    quotes: usize,
    code: Option<&'static str>,
    table: Option<(usize, Table)>,
    /// The tags that stand for the signs of spoilers, by place.
    spoilers: BTreeMap<usize, &'static str>,
    /// By how much tables may grow in all, in UTF-16 units.
    spare: usize,
}

/// How a mark ends.
enum Mark<'a> {
    Tag(&'static str),
    /// A link to there, whose text begins at that length of the HTML.
    Link(CowStr<'a>, usize),
    /// As it is written.
    Source,
    Nothing,
}

impl<'a> Html<'a> {
    fn take(&mut self, event: Event<'a>, range: Range<usize>) {
        if let Some((_, table)) = &mut self.table
            && event != Event::End(TagEnd::Table)
        {
            return table.take(&event);
        }
        let end = range.end;
        match event {
            Event::Start(tag) => return self.begin(tag, range),
            Event::End(tag) => return self.end(tag, range),
            Event::Text(text) if self.code.is_some() => escape(&text, &mut self.out),
            Event::Text(text) => self.text(&text, range),
            Event::Code(text) if text.trim().is_empty() => escape(&self.source[range], &mut self.out),
            Event::Code(text) => {
                self.out.push_str("<code>");
                escape(&text, &mut self.out);
                self.out.push_str("</code>");
            }
            Event::InlineMath(_) | Event::DisplayMath(_) => escape(&self.source[range], &mut self.out),
            Event::SoftBreak | Event::HardBreak => self.line_break(end),
            Event::Rule => return self.rule(range),
            Event::TaskListMarker(done) => self.out.push_str(if done { "☑ " } else { "☐ " }),
            Event::FootnoteReference(_) => escape(&self.source[range], &mut self.out),
            Event::Html(text) | Event::InlineHtml(text) => escape(&text, &mut self.out),
        }
        self.inline_at = end;
        self.at = end;
    }

    /// Text outside of code, with the spoilers that begin and end in it.
    fn text(&mut self, text: &str, range: Range<usize>) {
        let mut at = range.start;
        if self.source.get(range.clone()) == Some(text) {
            for (place, tag) in self.spoilers.range(range.clone()) {
                escape_text(&self.source[at..*place], &mut self.out);
                self.out.push_str(tag);
                at = place + SPOILER.len();
            }
        }
        escape_text(&text[at - range.start..], &mut self.out);
    }

    fn begin(&mut self, tag: Tag<'a>, range: Range<usize>) {
        self.inline_at = range.start;
        match tag {
            Tag::Emphasis if self.swapped => self.mark("<b>", "</b>"),
            Tag::Strong if std::mem::take(&mut self.swapped) => self.mark("<i>", "</i>"),
            Tag::Emphasis => self.mark("<i>", "</i>"),
            Tag::Strong => self.mark("<b>", "</b>"),
            Tag::Strikethrough => self.mark("<s>", "</s>"),
            Tag::Link { link_type: LinkType::Autolink | LinkType::Email, .. } => {
                self.marks.push(Mark::Nothing)
            }
            Tag::Link { dest_url, .. } => self.link("[", dest_url),
            Tag::Image { dest_url, .. } => self.link("![", dest_url),
            Tag::Paragraph | Tag::HtmlBlock => self.space(range.start, true),
            Tag::Heading { .. } => {
                self.space(range.start, true);
                self.out.push_str("<b>");
            }
            Tag::CodeBlock(kind) => {
                self.space(range.start, false);
                self.code_block(&kind);
            }
            Tag::Table(alignments) => {
                self.space(range.start, false);
                self.table = Some((range.start, Table::new(alignments)));
            }
            Tag::BlockQuote(_) => {
                self.space(range.start, false);
                self.at = range.start;
                if self.quotes == 0 {
                    self.out.push_str("<blockquote>");
                }
                self.quotes += 1;
            }
            Tag::FootnoteDefinition(_) => self.footnote(range.start),
            Tag::List(_) => self.lists += 1,
            Tag::Item => self.item(range.start),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd, range: Range<usize>) {
        match tag {
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link | TagEnd::Image => {
                return self.end_mark(range.end);
            }
            TagEnd::List(_) => {
                self.lists = self.lists.saturating_sub(1);
                return;
            }
            TagEnd::Item | TagEnd::FootnoteDefinition => return,
            TagEnd::BlockQuote(_) => {
                self.quotes = self.quotes.saturating_sub(1);
                if self.quotes == 0 {
                    self.out.push_str("</blockquote>");
                }
                return;
            }
            TagEnd::Heading(_) => self.out.push_str("</b>"),
            TagEnd::CodeBlock => {
                if self.out.ends_with('\n') {
                    self.out.pop();
                }
                self.out.push_str(self.code.take().unwrap_or_default());
            }
            TagEnd::Table => self.table(&range),
            _ => {}
        }
        self.at = range.start + self.source[range].trim_end().len();
    }

    /// What lies between two blocks: the ends of lines and, in lists, the indentation of what has no frame of its own.
    fn space(&mut self, to: usize, indented: bool) {
        let between = self.source.get(self.at..to).unwrap_or_default();
        self.at = self.at.max(to);
        if self.out.is_empty() {
            return;
        }
        let lines = between.matches('\n').count();
        self.out.extend(std::iter::repeat_n('\n', lines));
        if lines > 0 && self.lists > 0 && indented {
            let indent = between.len() - between.trim_end_matches(' ').len();
            // After the sign of a quote comes a space of its own.
            let quoted = usize::from(between.trim_end_matches(' ').ends_with('>'));
            self.out.extend(std::iter::repeat_n(' ', indent.saturating_sub(quoted)));
        }
    }

    /// The marker of a list's item, as it is written.
    fn item(&mut self, begin: usize) {
        let begin = begin + self.source[begin..].len() - self.source[begin..].trim_start_matches(' ').len();
        self.space(begin, true);
        let item = &self.source[begin..];
        let digits = item.len() - item.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let marker = item.floor_char_boundary(digits + 1);
        escape(&item[..marker], &mut self.out);
        let blank = item[marker..].len() - item[marker..].trim_start_matches([' ', '\t']).len();
        if blank > 0 {
            self.out.push(' ');
        }
        self.at = begin + marker + blank;
    }

    /// The label of a footnote, as it is written.
    fn footnote(&mut self, begin: usize) {
        self.space(begin, true);
        let note = &self.source[begin..];
        let label = note.find("]:").map_or(0, |at| at + "]:".len());
        escape(&note[..label], &mut self.out);
        let blank = note[label..].len() - note[label..].trim_start_matches(' ').len();
        if blank > 0 {
            self.out.push(' ');
        }
        self.at = begin + label + blank;
    }

    fn line_break(&mut self, end: usize) {
        self.out.push('\n');
        if self.lists > 0 {
            let line = &self.source[end..];
            let indent = line.len() - line.trim_start_matches(' ').len();
            self.out.extend(std::iter::repeat_n(' ', indent));
        }
    }

    /// A line across; one of asterisks is more often what is left of bold text that has no words yet.
    fn rule(&mut self, range: Range<usize>) {
        self.space(range.start, true);
        let rule = self.source[range.clone()].trim_end();
        if rule.contains('\u{2}') || rule.contains('*') {
            escape(rule, &mut self.out);
        } else {
            self.out.push_str("———");
        }
        self.at = range.start + rule.len();
    }

    fn mark(&mut self, open: &str, close: &'static str) {
        if self.marks.len() < MAX_DEPTH {
            self.out.push_str(open);
            self.marks.push(Mark::Tag(close));
        } else {
            self.marks.push(Mark::Nothing);
        }
    }

    fn link(&mut self, open: &str, url: CowStr<'a>) {
        let inside = self.marks.iter().any(|mark| matches!(mark, Mark::Link(..)));
        if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            self.out.push_str(open);
            self.marks.push(Mark::Source);
        } else if inside || self.marks.len() >= MAX_DEPTH {
            self.marks.push(Mark::Nothing);
        } else {
            self.out.push_str("<a href=\"");
            escape(&url, &mut self.out);
            self.out.push_str("\">");
            self.marks.push(Mark::Link(url, self.out.len()));
        }
        self.inline_at += open.len();
    }

    fn end_mark(&mut self, end: usize) {
        match self.marks.pop() {
            Some(Mark::Tag(close)) => self.out.push_str(close),
            Some(Mark::Link(url, begin)) => {
                if self.out.len() == begin {
                    escape(&url, &mut self.out);
                }
                self.out.push_str("</a>");
            }
            Some(Mark::Source) => escape(&self.source[self.inline_at..end], &mut self.out),
            Some(Mark::Nothing) | None => {}
        }
        self.inline_at = end;
        self.at = end;
    }

    fn code_block(&mut self, kind: &CodeBlockKind<'_>) {
        match language(kind) {
            Some(language) => {
                self.out.push_str("<pre><code class=\"language-");
                escape(&language, &mut self.out);
                self.out.push_str("\">");
                self.code = Some("</code></pre>");
            }
            None => {
                self.out.push_str("<pre>");
                self.code = Some("</pre>");
            }
        }
    }

    /// A table with its columns aligned, if there is room for that.
    fn table(&mut self, range: &Range<usize>) {
        let Some((_, table)) = self.table.take() else { return };
        let source = self.source[range.clone()].trim_end();
        let length = units(source);
        self.out.push_str("<pre>");
        match table.aligned(length + self.spare) {
            Some(aligned) => {
                self.spare -= units(&aligned).saturating_sub(length);
                escape(&aligned, &mut self.out);
            }
            None if self.quotes > 0 => {
                let lines = source.lines().map(|line| line.trim_start_matches(['>', ' ']));
                escape(&lines.collect::<Vec<_>>().join("\n"), &mut self.out);
            }
            None => escape(source, &mut self.out),
        }
        self.out.push_str("</pre>");
    }
}

/// The language of a code block, in one plain word.
pub(crate) fn language(kind: &CodeBlockKind<'_>) -> Option<String> {
    let CodeBlockKind::Fenced(info) = kind else { return None };
    let word: String = info.split_whitespace().next()?.chars().map(restored).collect();
    word.chars().all(|c| c.is_ascii_alphanumeric() || "+#-_.".contains(c)).then_some(word)
}

/// The tags of the spoilers of a text, by the places of their signs. A spoiler ends in the same element that it begins in,
/// so that tags never cross, and what stands between words is none.
pub(crate) fn spoilers(source: &str) -> BTreeMap<usize, &'static str> {
    let mut found = BTreeMap::new();
    // Of each element that is open: where a spoiler begins in it.
    let mut open: Vec<Option<usize>> = vec![None];
    let mut verbatim = 0_usize;
    for (event, range) in parser(source).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                verbatim += usize::from(matches!(tag, Tag::CodeBlock(_) | Tag::Table(_)));
                open.push(None);
            }
            Event::End(tag) => {
                verbatim -= usize::from(matches!(tag, TagEnd::CodeBlock | TagEnd::Table));
                open.pop();
            }
            Event::Text(text) if verbatim == 0 && source.get(range.clone()) == Some(&*text) => {
                for (index, _) in text.match_indices(SPOILER) {
                    let at = range.start + index;
                    let before = source[..at].chars().next_back().unwrap_or(' ');
                    let after = source[at + SPOILER.len()..].chars().next().unwrap_or(' ');
                    let Some(begun) = open.last_mut() else { continue };
                    match *begun {
                        Some(begin) if !before.is_whitespace() && at > begin + SPOILER.len() => {
                            found.extend([(begin, "<tg-spoiler>"), (at, "</tg-spoiler>")]);
                            *begun = None;
                        }
                        _ if !after.is_whitespace() && !before.is_alphanumeric() => *begun = Some(at),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// Text outside of code, where some models break lines with tags.
fn escape_text(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('\u{5}') {
        escape(&rest[..at], out);
        let tag = &rest[at + 1..];
        match ["br>", "br/>", "br />"].into_iter().find(|end| tag.starts_with(end)) {
            Some(end) => {
                out.push('\n');
                rest = &tag[end.len()..];
            }
            None => {
                out.push_str("&lt;");
                rest = tag;
            }
        }
    }
    escape(rest, out);
}

/// Text and the values of attributes, with what is hidden from the parser as itself.
pub(crate) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match restored(c) {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}
