//! Markdown for platforms that know only part of it.

use super::{Table, parser, restored, shielded};
use crate::text::units;
use pulldown_cmark::{CodeBlockKind, Event, LinkType, Tag, TagEnd};
use std::borrow::Cow;
use std::ops::Range;

/// How many times as long as its Markdown a text may become.
const MAX_GROWTH: usize = 4;
/// What an image may lead to, to be a link.
const SCHEMES: [&str; 2] = ["https://", "http://"];
/// Signs that mean something in the dialect, and nothing where the parser finds them in a formula.
const SIGNS: [char; 5] = ['\\', '*', '_', '~', '`'];

/// The text in the dialect of a platform that knows bold, italic and struck out text, links, lists, headings, quotes and
/// code blocks in backticks, and nothing else of Markdown.
///
/// | what | becomes |
/// |---|---|
/// | tables | code blocks, their columns aligned |
/// | links by reference | links; the definitions are left out |
/// | images | links |
/// | underlined headings, and those below the third level | headings up to the third level |
/// | rules and boxes of tasks | `———`, ☐ and ☑ |
/// | code blocks that are indented, or fenced by anything but three backticks | code blocks in three backticks |
/// | `__bold__`, entities, `<br>`, backslashes at the end of a line | what they stand for |
/// | quotes in quotes | one quote, a blank after each of its signs |
/// | signs in names, paths and formulas | the same, escaped |
pub fn simplified(text: &str) -> Cow<'_, str> {
    let hidden = shielded(text);
    let mut edits = Edits::new(text, &hidden);
    let events = parser(&hidden).into_offset_iter();
    edits.define(events.reference_definitions().iter().map(|(_, definition)| definition.span.clone()));
    for (event, range) in events {
        edits.take(event, range);
    }
    edits.made()
}

/// The text with its links by reference as links that need no definition, so that it can be cut anywhere.
pub fn linked(text: &str) -> Cow<'_, str> {
    if !text.contains("]:") {
        return Cow::Borrowed(text);
    }
    let hidden = shielded(text);
    let mut edits = Edits::new(text, &hidden);
    let events = parser(&hidden).into_offset_iter();
    edits.define(events.reference_definitions().iter().map(|(_, definition)| definition.span.clone()));
    for (event, range) in events {
        edits.references(&event, range);
    }
    edits.made()
}

/// What is to be written instead of parts of a text.
struct Edits<'a, 'h> {
    text: &'a str,
    /// The same with the signs hidden that mean themselves.
    hidden: &'h str,
    list: Vec<(Range<usize>, String)>,
    /// The links that are open: where one by reference leads.
    links: Vec<Option<String>>,
    /// The end of the last event.
    at: usize,
    /// Bytes by which links may make the text grow.
    spare: usize,
    items: usize,
    quotes: usize,
    /// A quote holds code, whose lines are nobody else's.
    quotes_code: bool,
    /// The lines of quotes that are written anew already.
    quoted: Vec<Range<usize>>,
    table: Option<Table>,
    /// The words of the image that is open, and where it is.
    image: Option<(String, String)>,
    /// The code block that is open: its language, and its lines.
    code: Option<(Option<String>, String)>,
}

impl<'a, 'h> Edits<'a, 'h> {
    fn new(text: &'a str, hidden: &'h str) -> Self {
        Self {
            text,
            hidden,
            list: Vec::new(),
            links: Vec::new(),
            at: 0,
            spare: MAX_GROWTH * text.len(),
            items: 0,
            quotes: 0,
            quotes_code: false,
            quoted: Vec::new(),
            table: None,
            image: None,
            code: None,
        }
    }

    /// Leaves definitions out, with the lines that they stand in.
    fn define(&mut self, spans: impl Iterator<Item = Range<usize>>) {
        for span in spans {
            let line = self.text[..span.start].rfind('\n').map_or(0, |at| at + 1);
            let is_alone = self.text[line..span.start].trim().is_empty();
            let ends = self.text[span.end..].starts_with('\n');
            match is_alone {
                true => self.edit(line..span.end + usize::from(ends), ""),
                false => self.edit(span, ""),
            }
        }
    }

    fn edit(&mut self, range: Range<usize>, by: impl Into<String>) {
        self.list.push((range, by.into()));
    }

    /// The text with every edit made; of two that overlap the one that begins first. It is never left empty.
    fn made(mut self) -> Cow<'a, str> {
        self.list.sort_by_key(|(range, _)| (range.start, range.end));
        let (mut out, mut copied) = (String::with_capacity(self.text.len()), 0);
        for (range, by) in &self.list {
            if range.start >= copied {
                out.push_str(&self.text[copied..range.start]);
                out.push_str(by);
                copied = range.end;
            }
        }
        out.push_str(&self.text[copied..]);
        let is_same = self.list.is_empty() || out.trim().is_empty();
        if is_same { Cow::Borrowed(self.text) } else { Cow::Owned(out) }
    }

    /// Links by reference.
    fn references(&mut self, event: &Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(Tag::Link { link_type, dest_url, .. }) => {
                let is_reference =
                    matches!(link_type, LinkType::Reference | LinkType::Collapsed | LinkType::Shortcut);
                let url: String = dest_url.chars().map(restored).collect();
                self.links.push(is_reference.then_some(url));
            }
            Event::End(TagEnd::Link) => {
                if let Some(Some(url)) = self.links.pop()
                    && self.spare >= url.len()
                {
                    self.spare -= url.len();
                    let is_plain = !url.contains(|c: char| c.is_whitespace() || "()<>".contains(c));
                    let url = if is_plain { url } else { format!("<{url}>") };
                    // The parser takes an empty label for text.
                    let label = if self.text[range.end..].starts_with("[]") { "[]".len() } else { 0 };
                    self.edit(self.at..range.end + label, format!("]({url})"));
                }
                self.at = range.end;
            }
            Event::End(_) => self.at = range.end,
            Event::Start(_) => {}
            _ => self.at = range.end,
        }
    }

    fn take(&mut self, event: Event<'_>, range: Range<usize>) {
        if let Some(table) = &mut self.table
            && event != Event::End(TagEnd::Table)
        {
            return table.take(&event);
        }
        self.references(&event, range.clone());
        if self.image.is_some() && event != Event::End(TagEnd::Image) {
            return self.image_words(&event);
        }
        match event {
            Event::Start(tag) => self.begin(tag, range),
            Event::End(tag) => self.end(tag, range),
            Event::Text(text) => match &mut self.code {
                Some((_, code)) => code.extend(text.chars().map(restored)),
                None => self.words(&text, range),
            },
            Event::InlineMath(_) | Event::DisplayMath(_) => {
                let escaped = escaped(&self.text[range.clone()], |c| SIGNS.contains(&c));
                self.edit(range, escaped);
            }
            Event::HardBreak if self.text[range.clone()].starts_with('\\') => {
                self.edit(range.start..range.start + 1, "");
            }
            Event::Rule => self.rule(&range),
            Event::TaskListMarker(done) => self.edit(range, if done { "☑" } else { "☐" }),
            _ => {}
        }
    }

    fn begin(&mut self, tag: Tag<'_>, range: Range<usize>) {
        match tag {
            Tag::Table(alignments) => self.table = Some(Table::new(alignments)),
            Tag::Heading { level, .. } => self.heading(level as usize, &range),
            Tag::Strong if self.text[range.clone()].starts_with("__") => {
                self.edit(range.start..range.start + 2, "**");
                self.edit(range.end - 2..range.end, "**");
            }
            Tag::Image { dest_url, .. } => {
                self.image = Some((String::new(), dest_url.chars().map(restored).collect()));
            }
            Tag::CodeBlock(kind) => {
                self.quotes_code |= self.quotes > 0;
                self.code = Some((language(&kind), String::new()));
            }
            Tag::BlockQuote(_) => {
                self.quotes_code &= self.quotes > 0;
                self.quotes += 1;
            }
            Tag::Item => self.items += 1,
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd, range: Range<usize>) {
        match tag {
            TagEnd::Table => self.table(&range),
            TagEnd::CodeBlock => self.code_block(&range),
            TagEnd::Image => self.image(range),
            TagEnd::BlockQuote(_) => {
                self.quotes = self.quotes.saturating_sub(1);
                if self.quotes == 0 && !self.quotes_code {
                    self.quote(range);
                }
            }
            TagEnd::Item => self.items = self.items.saturating_sub(1),
            _ => {}
        }
    }

    /// A block of lines in place of another, out of the lists that it is in. Where it stands behind a list's marker, it stays.
    fn block(&mut self, range: &Range<usize>, block: &str) {
        let line = self.text[..range.start].rfind('\n').map_or(0, |at| at + 1);
        let before = self.text[line..range.start].trim_start_matches(' ');
        if before.is_empty() {
            self.edit(line..range.start + self.text[range.clone()].trim_end().len(), block);
        }
    }

    /// A table as code, out of the lists that it is in. Behind a list's marker the code begins there, its lines as deep; in
    /// a quote each of them has the sign of one.
    fn table(&mut self, range: &Range<usize>) {
        let source = self.text[range.clone()].trim_end();
        let aligned = self.table.take().and_then(|table| table.aligned(MAX_GROWTH * units(source)));
        let Some(aligned) = aligned.filter(|aligned| !aligned.contains("```")) else { return };
        let line = self.text[..range.start].rfind('\n').map_or(0, |at| at + 1);
        let before = &self.text[line..range.start];
        let marker = before.trim_start_matches([' ', '>']);
        let end = range.start + source.len();
        let (lines, depth) = match marker.is_empty() {
            true => (line..end, 0),
            false if self.quotes > 0 => (range.start..end, marker.chars().count()),
            false => (range.start..end, before.chars().count()),
        };
        let sign = if self.quotes > 0 { "> " } else { "" };
        let first = if marker.is_empty() { sign } else { "" };
        let block = format!("```\n{aligned}\n```").replace('\n', &format!("\n{sign}{}", " ".repeat(depth)));
        if self.quotes > 0 {
            self.quoted.push(lines.clone());
        }
        self.edit(lines, format!("{first}{block}"));
    }

    fn code_block(&mut self, range: &Range<usize>) {
        let Some((language, code)) = self.code.take() else { return };
        let source = self.text[range.clone()].trim_start();
        let marks = source.len() - source.trim_start_matches('`').len();
        let line = self.text[..range.start].rfind('\n').map_or(0, |at| at + 1);
        let said = source[marks..].lines().next().unwrap_or_default().trim();
        let is_plain = marks == 3 && line == range.start && said == language.as_deref().unwrap_or_default();
        if self.quotes > 0 || is_plain || code.contains("```") {
            return;
        }
        let language = language.unwrap_or_default();
        let code = code.trim_end_matches('\n');
        self.block(range, &format!("```{language}\n{code}\n```"));
    }

    fn heading(&mut self, level: usize, range: &Range<usize>) {
        let source = self.text[range.clone()].trim_end();
        if source.starts_with('#') {
            if level > 3 {
                self.edit(range.start..range.start + level, "###");
            }
        } else if let Some(underline) = source.rfind('\n') {
            self.edit(range.start..range.start, format!("{} ", "#".repeat(level)));
            self.edit(range.start + underline..range.start + source.len(), "");
        }
    }

    /// A line across; one of asterisks is more often what is left of bold text that has no words yet.
    fn rule(&mut self, range: &Range<usize>) {
        let rule = self.text[range.clone()].trim_end();
        if !rule.contains('*') {
            self.edit(range.start..range.start + rule.len(), "———");
        }
    }

    /// One sign of a quote before each of its lines.
    fn quote(&mut self, range: Range<usize>) {
        let mut at = range.start;
        for line in self.text[range].split_inclusive('\n') {
            let begin = at + line.len() - line.trim_start_matches(' ').len();
            let rest = line.trim_start_matches(' ');
            let marks = rest.len() - rest.trim_start_matches(['>', ' ']).len();
            if self.quoted.iter().any(|lines| lines.contains(&at)) {
                at += line.len();
                continue;
            }
            match (rest[..marks].matches('>').count(), rest[..marks].ends_with(' ')) {
                (0, _) if !rest.trim().is_empty() => self.edit(at..at, "> "),
                (0, _) | (1, true) => {}
                _ => self.edit(begin..begin + marks, "> "),
            }
            at += line.len();
        }
    }

    fn image(&mut self, range: Range<usize>) {
        let Some((words, url)) = self.image.take() else { return };
        if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) || self.spare < url.len() {
            return;
        }
        self.spare -= url.len();
        let words = escaped(words.trim(), |c| "[]".contains(c));
        let link = match (words.is_empty(), self.links.is_empty()) {
            (true, _) => url,
            (false, true) => format!("[{words}]({url})"),
            (false, false) => words,
        };
        self.edit(range, link);
    }

    fn image_words(&mut self, event: &Event<'_>) {
        if let (Event::Text(text) | Event::Code(text), Some(words)) = (event, &mut self.image) {
            words.0.extend(text.chars().map(restored));
        }
    }

    /// Words outside of code.
    fn words(&mut self, words: &str, range: Range<usize>) {
        let (text, hidden) = (self.text, self.hidden);
        let source = &text[range.clone()];
        if source.starts_with('&') && source.ends_with(';') && words != source {
            return self.edit(range, escaped(words, |c| SIGNS.contains(&c) || "<>|#[]".contains(c)));
        }
        let mut links = links_in(source).into_iter().peekable();
        for (place, c) in hidden[range.clone()].char_indices().filter(|(_, c)| restored(*c) != *c) {
            let at = range.start + place;
            while links.next_if(|link| link.end <= place).is_some() {}
            if links.peek().is_some_and(|link| link.contains(&place)) {
                continue;
            }
            match restored(c) {
                '<' => {
                    let rest = &text[at..];
                    if let Some(tag) =
                        ["<br>", "<br/>", "<br />"].into_iter().find(|tag| rest.starts_with(tag))
                    {
                        self.edit(at..at + tag.len(), if self.quotes > 0 { "\n> " } else { "\n" });
                    }
                }
                '\\' | '*' | '_' => self.edit(at..at, "\\"),
                _ => {}
            }
        }
    }
}

/// The bare links in a text, in order.
fn links_in(text: &str) -> Vec<Range<usize>> {
    let (mut links, mut at) = (Vec::new(), 0);
    while let Some(next) = text[at..].find("http") {
        let begin = at + next;
        let rest = &text[begin..];
        at = begin + "http".len();
        if SCHEMES.iter().any(|scheme| rest.starts_with(scheme)) {
            let end = rest.find(|c: char| c.is_whitespace() || "<>\"|]".contains(c));
            at = end.map_or(text.len(), |end| begin + end);
            links.push(begin..at);
        }
    }
    links
}

fn escaped(text: &str, is_sign: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_sign(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The language of a code block, in one plain word.
fn language(kind: &CodeBlockKind<'_>) -> Option<String> {
    let CodeBlockKind::Fenced(info) = kind else { return None };
    let word: String = info.split_whitespace().next()?.chars().map(restored).collect();
    word.chars().all(|c| c.is_ascii_alphanumeric() || "+#-_.".contains(c)).then_some(word)
}
