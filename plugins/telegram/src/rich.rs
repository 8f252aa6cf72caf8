//! Markdown as models write it, as a rich message: what the platform's plain HTML has no marks for, tables and formulas,
//! shows as such. Known to servers from Bot API 10.1 on.
//!
//! The form is the platform's HTML and not its Markdown. That is read with whatever tags stand in it and fetches the
//! pictures that it names, while here tags are words, pictures links, and names like `__init__` whole.
//!
//! See <https://core.telegram.org/bots/api#rich-message-formatting-options>.

mod formulas;
mod read;
mod support;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;

use prx_sdk::markdown::{parser, shielded};
use pulldown_cmark::{Alignment, CodeBlockKind, CowStr, Event, LinkType, Tag, TagEnd};

use crate::html::{SCHEMES, SPOILER, escape, language, spoilers};
use formulas::{Formula, is_formula};

pub(crate) use read::text_of;
pub(crate) use support::Support;

/// Most blocks that the platform takes: items, rows and what lies in others are some.
const MAX_BLOCKS: usize = 500;
/// Most blocks and marks that lie in each other.
const MAX_DEPTH: usize = 16;
/// Most columns of a table.
const MAX_COLUMNS: usize = 20;
/// What begins a new line.
const BREAK: &str = "<br>";
/// What ends a block of a formula.
const END_OF_FORMULA: &str = "</tg-math-block>";

/// The rich form of a Markdown text. None: it gains nothing by it, or has more of something than the platform takes.
pub(crate) fn render(markdown: &str) -> Option<String> {
    if !markdown.contains(['|', '$', '\\']) && !markdown.contains("math") {
        return None;
    }
    let source = shielded(markdown);
    let mut rich = Rich {
        source: &source,
        spoilers: if markdown.contains(SPOILER) { spoilers(&source) } else { BTreeMap::new() },
        out: String::with_capacity(markdown.len() + markdown.len() / 4),
        ..Rich::default()
    };
    let mut events = parser(&source).into_offset_iter().peekable();
    while let Some((event, mut range)) = events.next() {
        // The parser cuts texts at signs that might have meant something.
        let is_next = |end: usize, (next, its): &(Event<'_>, Range<usize>)| {
            its.start == end && is_text_of(&source, next, its)
        };
        if is_text_of(&source, &event, &range) {
            while let Some((_, more)) = events.next_if(|next| is_next(range.end, next)) {
                range.end = more.end;
            }
            rich.take(Event::Text(source[range.clone()].into()), range);
        } else {
            rich.take(event, range);
        }
        if rich.blocks > MAX_BLOCKS || rich.depth > MAX_DEPTH {
            return None;
        }
    }
    (rich.gains && !rich.is_too_wide).then_some(rich.out)
}

/// Whether an event is text as it is written.
fn is_text_of(source: &str, event: &Event<'_>, range: &Range<usize>) -> bool {
    matches!(event, Event::Text(text) if source.get(range.clone()) == Some(&**text))
}

/// A rich message in the making.
#[derive(Default)]
struct Rich<'a> {
    source: &'a str,
    out: String,
    /// It has something that plain HTML can't show.
    gains: bool,
    blocks: usize,
    /// The blocks and marks that are open.
    depth: usize,
    is_too_wide: bool,
    paragraph: Paragraph,
    /// The links that are open, and how each ends.
    links: Vec<Link<'a>>,
    /// The marks that are open, links among them.
    marks: usize,
    code: Option<Code>,
    /// The columns of the table that is open, and the next one.
    table: Option<(Vec<Alignment>, usize)>,
    in_head: bool,
    in_heading: bool,
    /// A formula between `\(` and `\)` or `\[` and `\]` that has begun.
    formula: Option<Formula>,
    spoilers: BTreeMap<usize, &'static str>,
}

/// Whether words belong to a paragraph.
#[derive(Default, PartialEq)]
enum Paragraph {
    /// They stand in a block of another kind.
    #[default]
    None,
    /// They begin one, with this before them.
    Due(String),
    Open,
}

/// How a link ends.
enum Link<'a> {
    /// A link to there, whose text begins at that length of the text.
    To(CowStr<'a>, usize),
    /// As it is written, for it leads nowhere here.
    Written(CowStr<'a>),
    Nothing,
}

/// What a code block is.
enum Code {
    Block(&'static str),
    /// It is a formula.
    Formula,
}

impl<'a> Rich<'a> {
    fn take(&mut self, event: Event<'a>, range: Range<usize>) {
        if !matches!(event, Event::Text(_) | Event::SoftBreak | Event::HardBreak) {
            self.give_up_formula();
        }
        match event {
            Event::Start(tag) => self.begin(tag, &range),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.code.is_some() => escape(&text, &mut self.out),
            Event::Text(text) => self.text(&text, range),
            Event::Code(text) => {
                self.word();
                self.out.push_str("<code>");
                escape(&text, &mut self.out);
                self.out.push_str("</code>");
            }
            Event::InlineMath(text) if is_formula(&text, &self.source[range.end..]) => {
                self.inline_formula(&text);
            }
            Event::DisplayMath(text) if !text.trim().is_empty() => self.formula_block(&text),
            Event::InlineMath(_) | Event::DisplayMath(_) | Event::FootnoteReference(_) => {
                self.written(&self.source[range])
            }
            Event::SoftBreak | Event::HardBreak => self.line_break(),
            Event::Rule => self.rule(self.source[range].trim_end()),
            Event::TaskListMarker(done) => {
                self.out.push_str(if done {
                    "<input type=\"checkbox\" checked>"
                } else {
                    "<input type=\"checkbox\">"
                });
            }
            Event::Html(text) | Event::InlineHtml(text) => self.written(&text),
        }
    }

    /// Words follow: in a paragraph, if one is due.
    fn word(&mut self) {
        if let Paragraph::Due(before) = &mut self.paragraph {
            let before = std::mem::take(before);
            self.paragraph = Paragraph::Open;
            self.blocks += 1;
            self.out.push_str("<p>");
            escape(&before, &mut self.out);
        }
    }

    fn written(&mut self, text: &str) {
        self.word();
        escape(text, &mut self.out);
    }

    /// Text outside of code, with the spoilers that begin and end in it.
    fn text(&mut self, text: &str, range: Range<usize>) {
        let mut at = range.start;
        if self.source.get(range.clone()) == Some(text) {
            let places: Vec<_> =
                self.spoilers.range(range.clone()).map(|(place, tag)| (*place, *tag)).collect();
            for (place, tag) in places {
                self.words(&self.source[at..place]);
                self.give_up_formula();
                match tag.starts_with("</") {
                    true => self.end_mark(tag),
                    false => self.mark(tag),
                }
                at = place + SPOILER.len();
            }
        }
        self.words(&text[at - range.start..]);
    }

    /// Words, and the formulas among them that no parser knows.
    fn words(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(mut formula) = self.formula.take() {
                match formula.take(rest) {
                    None => return self.formula = Some(formula),
                    Some(after) => {
                        rest = after;
                        match formula.is_block {
                            true => self.formula_block(&formula.text),
                            false => self.inline_formula(&formula.text),
                        }
                    }
                }
                continue;
            }
            let Some((before, formula, after)) = Formula::begin(rest) else {
                return self.plain_words(rest);
            };
            self.plain_words(before);
            self.formula = Some(formula);
            rest = after;
        }
    }

    /// Text outside of code, where some models break lines with tags.
    fn plain_words(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find('\u{5}') {
            let tag = &rest[at + 1..];
            let end = ["br>", "br/>", "br />"].into_iter().find(|end| tag.starts_with(end));
            self.piece(&rest[..at + usize::from(end.is_none())]);
            if end.is_some() {
                self.line_break();
            }
            rest = &tag[end.map_or(0, str::len)..];
        }
        self.piece(rest);
    }

    fn piece(&mut self, text: &str) {
        if !text.is_empty() {
            self.written(text);
        }
    }

    /// A formula that has begun has no end: it is words.
    fn give_up_formula(&mut self) {
        if let Some(formula) = self.formula.take() {
            let sign = if formula.is_block { "\\[" } else { "\\(" };
            self.word();
            escape(sign, &mut self.out);
            for (index, line) in formula.text.split('\n').enumerate() {
                if index > 0 {
                    self.line_break();
                }
                escape(line, &mut self.out);
            }
        }
    }

    fn inline_formula(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        self.gains = true;
        self.word();
        self.out.push_str("<tg-math>");
        escape(text.trim(), &mut self.out);
        self.out.push_str("</tg-math>");
    }

    /// A formula in a block of its own, where there can be blocks.
    fn formula_block(&mut self, text: &str) {
        if self.marks > 0 || self.table.is_some() || self.in_heading || text.trim().is_empty() {
            return self.inline_formula(text);
        }
        self.gains = true;
        let goes_on = self.paragraph != Paragraph::None;
        self.end_paragraph();
        self.blocks += 1;
        self.out.push_str("<tg-math-block>");
        escape(text.trim(), &mut self.out);
        self.out.push_str(END_OF_FORMULA);
        if goes_on {
            self.paragraph = Paragraph::Due(String::new());
        }
    }

    fn line_break(&mut self) {
        if let Some(formula) = &mut self.formula {
            return formula.text.push('\n');
        }
        if self.table.is_some() {
            self.out.push_str(" / ");
        } else if !matches!(self.paragraph, Paragraph::Due(_)) && !self.out.ends_with(END_OF_FORMULA) {
            self.out.push_str(BREAK);
        }
    }

    fn end_paragraph(&mut self) {
        self.out.truncate(self.out.trim_end_matches(BREAK).len());
        if let Paragraph::Due(before) = &self.paragraph
            && !before.is_empty()
        {
            self.word();
        }
        if std::mem::take(&mut self.paragraph) == Paragraph::Open {
            self.out.push_str("</p>");
        }
    }

    fn open(&mut self, tag: &str) {
        // What stands before a note's first block, if that is no paragraph.
        if self.paragraph != Paragraph::None {
            self.end_paragraph();
        }
        self.blocks += 1;
        self.depth += 1;
        self.out.push_str(tag);
    }

    fn close(&mut self, tag: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.out.push_str(tag);
    }

    fn mark(&mut self, tag: &str) {
        self.word();
        self.marks += 1;
        self.depth += 1;
        self.out.push_str(tag);
    }

    fn end_mark(&mut self, tag: &str) {
        self.marks = self.marks.saturating_sub(1);
        self.close(tag);
    }

    fn begin(&mut self, tag: Tag<'a>, range: &Range<usize>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock if self.paragraph == Paragraph::None => {
                self.paragraph = Paragraph::Due(String::new());
            }
            Tag::Heading { level, .. } => {
                self.in_heading = true;
                self.open(&format!("<{level}>"));
            }
            Tag::Emphasis => self.mark("<i>"),
            Tag::Strong => self.mark("<b>"),
            Tag::Strikethrough => self.mark("<s>"),
            Tag::Link { link_type: LinkType::Autolink | LinkType::Email, .. } => {
                self.links.push(Link::Nothing)
            }
            Tag::Link { dest_url, .. } => self.link("[", dest_url),
            Tag::Image { dest_url, .. } => self.link("![", dest_url),
            Tag::CodeBlock(kind) => self.code_block(&kind),
            Tag::Table(alignments) => {
                self.gains = true;
                self.is_too_wide |= alignments.len() > MAX_COLUMNS;
                self.open("<table bordered striped>");
                self.table = Some((alignments, 0));
            }
            Tag::TableHead | Tag::TableRow => {
                self.in_head = tag == Tag::TableHead;
                self.open("<tr>");
            }
            Tag::TableCell => self.cell(),
            Tag::BlockQuote(_) => self.open("<blockquote>"),
            Tag::List(None) => self.open("<ul>"),
            Tag::List(Some(1)) => self.open("<ol>"),
            Tag::List(Some(first)) => self.open(&format!("<ol start=\"{first}\">")),
            Tag::Item => self.open("<li>"),
            Tag::FootnoteDefinition(_) => {
                let note = &self.source[range.start..];
                let label = note.find("]:").map_or(0, |at| at + "]:".len());
                self.paragraph = Paragraph::Due(format!("{} ", note[..label].trim_start()));
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock | TagEnd::FootnoteDefinition => self.end_paragraph(),
            TagEnd::Heading(level) => {
                self.in_heading = false;
                self.close(&format!("</{level}>"));
            }
            TagEnd::Emphasis => self.end_mark("</i>"),
            TagEnd::Strong => self.end_mark("</b>"),
            TagEnd::Strikethrough => self.end_mark("</s>"),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::CodeBlock => self.end_code(),
            TagEnd::Table => {
                self.table = None;
                self.close("</table>");
            }
            TagEnd::TableHead | TagEnd::TableRow => self.close("</tr>"),
            TagEnd::TableCell => self.out.push_str(if self.in_head { "</th>" } else { "</td>" }),
            TagEnd::BlockQuote(_) => self.close("</blockquote>"),
            TagEnd::List(true) => self.close("</ol>"),
            TagEnd::List(false) => self.close("</ul>"),
            TagEnd::Item => {
                self.out.truncate(self.out.trim_end_matches(BREAK).len());
                self.close("</li>");
            }
            _ => {}
        }
    }

    fn cell(&mut self) {
        let Some((alignments, next)) = &mut self.table else { return };
        let alignment = match alignments.get(*next) {
            Some(Alignment::Center) => " align=\"center\"",
            Some(Alignment::Right) => " align=\"right\"",
            _ => "",
        };
        *next = if *next + 1 < alignments.len() { *next + 1 } else { 0 };
        self.out.push_str(if self.in_head { "<th" } else { "<td" });
        self.out.push_str(alignment);
        self.out.push('>');
    }

    fn code_block(&mut self, kind: &CodeBlockKind<'_>) {
        let language = language(kind);
        if language.as_deref() == Some("math") {
            self.gains = true;
            self.open("<tg-math-block>");
            self.code = Some(Code::Formula);
            return;
        }
        self.open("<pre>");
        let end = match language {
            Some(language) => {
                self.out.push_str("<code class=\"language-");
                escape(&language, &mut self.out);
                self.out.push_str("\">");
                "</code></pre>"
            }
            None => "</pre>",
        };
        self.code = Some(Code::Block(end));
    }

    fn end_code(&mut self) {
        self.out.truncate(self.out.trim_end_matches('\n').len());
        match self.code.take() {
            Some(Code::Block(end)) => self.close(end),
            Some(Code::Formula) => self.close(END_OF_FORMULA),
            None => {}
        }
    }

    fn link(&mut self, sign: &str, url: CowStr<'a>) {
        let inside = self.links.iter().any(|link| matches!(link, Link::To(..)));
        if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            self.written(sign);
            self.links.push(Link::Written(url));
        } else if inside {
            self.links.push(Link::Nothing);
        } else {
            let mut tag = "<a href=\"".to_owned();
            escape(&url, &mut tag);
            self.mark(&(tag + "\">"));
            self.links.push(Link::To(url, self.out.len()));
        }
    }

    fn end_link(&mut self) {
        match self.links.pop() {
            Some(Link::To(url, begin)) => {
                if self.out.len() == begin {
                    escape(&url, &mut self.out);
                }
                self.end_mark("</a>");
            }
            Some(Link::Written(url)) => self.written(&format!("]({url})")),
            Some(Link::Nothing) | None => {}
        }
    }

    /// A line across; one of asterisks is more often what is left of bold text that has no words yet.
    fn rule(&mut self, rule: &str) {
        self.blocks += 1;
        if rule.contains(['\u{2}', '*']) {
            self.out.push_str("<p>");
            escape(rule, &mut self.out);
            self.out.push_str("</p>");
        } else {
            self.out.push_str("<hr/>");
        }
    }
}
