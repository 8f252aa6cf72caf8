//! Markdown as lines of a terminal.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::super::terminal::printable;

#[cfg(test)]
mod tests;

/// What lines are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paper {
    /// Columns.
    pub(super) width: usize,
    /// Whether anything is set off by more than its place: bold, colours.
    pub(super) styled: bool,
}

/// How a piece of a line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Style {
    bold: bool,
    italic: bool,
    underlined: bool,
    struck: bool,
    code: bool,
    dim: bool,
}

impl Style {
    fn codes(self) -> String {
        let all = [
            (self.bold, "1"),
            (self.dim, "2"),
            (self.italic, "3"),
            (self.underlined, "4"),
            (self.struck, "9"),
            (self.code, "36"),
        ];
        all.iter().filter(|(is, _)| *is).map(|(_, code)| *code).collect::<Vec<_>>().join(";")
    }
}

/// What stands before the lines of a block: on its first one, and on the others.
struct Margin {
    first: Option<String>,
    rest: String,
}

struct Table {
    rows: Vec<Vec<String>>,
}

/// The lines of a text. Nothing in it controls the terminal; what is not known is shown as it is written.
pub(super) fn lines(markdown: &str, paper: Paper) -> Vec<String> {
    let mut page = Page { paper, ..Page::default() };
    for event in Parser::new_ext(markdown, options()) {
        page.take(event);
    }
    page.flush();
    while page.lines.last().is_some_and(String::is_empty) {
        page.lines.pop();
    }
    page.lines
}

/// Where the last block of a text begins: what stands before does not change any more.
pub(super) fn last_block(markdown: &str) -> usize {
    let (mut depth, mut last) = (0_usize, 0);
    for (event, range) in Parser::new_ext(markdown, options()).into_offset_iter() {
        match event {
            Event::Start(_) => {
                if depth == 0 {
                    last = range.start;
                }
                depth += 1;
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            _ if depth == 0 => last = range.start,
            _ => {}
        }
    }
    last
}

/// A text in small letters that are easy to overlook, in lines.
pub(super) fn aside(text: &str, paper: Paper) -> Vec<String> {
    let mut page = Page { paper, ..Page::default() };
    page.style.dim = true;
    for line in text.lines() {
        page.text(line);
        page.flush();
    }
    page.lines
}

fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS
}

/// Lines as they are made.
struct Page {
    paper: Paper,
    lines: Vec<String>,
    /// The block that is being written.
    pieces: Vec<(Style, String)>,
    style: Style,
    margins: Vec<Margin>,
    /// The numbers of the lists that this stands in; none for one with dots.
    lists: Vec<Option<u64>>,
    /// A fenced or indented block of code.
    code: Option<String>,
    table: Option<Table>,
    /// Where links and pictures lead to, and where their words begin.
    links: Vec<(String, usize)>,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            paper: Paper { width: 80, styled: false },
            lines: Vec::new(),
            pieces: Vec::new(),
            style: Style::default(),
            margins: Vec::new(),
            lists: Vec::new(),
            code: None,
            table: None,
            links: Vec::new(),
        }
    }
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.begin(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(text) => {
                let before = self.style;
                self.style.code = true;
                let text = if self.paper.styled { text.to_string() } else { format!("`{text}`") };
                self.text(&text);
                self.style = before;
            }
            Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text) => {
                self.text(&text);
            }
            Event::FootnoteReference(name) => self.text(&format!("[{name}]")),
            Event::SoftBreak => self.text(" "),
            Event::HardBreak => self.flush(),
            Event::Rule => {
                self.space();
                let rule = "─".repeat(self.paper.width.min(40));
                self.text(&rule);
                self.flush();
            }
            Event::TaskListMarker(done) => self.text(if done { "[x] " } else { "[ ] " }),
        }
    }

    fn begin(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.space(),
            Tag::Heading { level, .. } => {
                self.space();
                self.style.bold = true;
                self.style.underlined = level == HeadingLevel::H1;
                if !self.paper.styled {
                    self.text(&format!("{} ", "#".repeat(level as usize)));
                }
            }
            Tag::BlockQuote(_) => {
                self.space();
                self.margins.push(Margin { first: None, rest: "│ ".to_owned() });
            }
            Tag::CodeBlock(kind) => {
                self.space();
                self.code = Some(String::new());
                if let CodeBlockKind::Fenced(language) = kind
                    && !language.is_empty()
                {
                    self.dimmed(&language);
                }
            }
            Tag::List(number) => {
                if self.lists.is_empty() {
                    self.space();
                }
                self.flush();
                self.lists.push(number);
            }
            Tag::Item => {
                self.flush();
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "• ".to_owned(),
                };
                let rest = " ".repeat(mark.width());
                self.margins.push(Margin { first: Some(mark), rest });
            }
            Tag::Table(_) => {
                self.space();
                self.table = Some(Table { rows: Vec::new() });
            }
            Tag::TableHead | Tag::TableRow => {
                self.table.iter_mut().for_each(|table| table.rows.push(Vec::new()));
            }
            tag => self.begin_inline(tag),
        }
    }

    fn begin_inline(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Emphasis => self.style.italic = true,
            Tag::Strong => self.style.bold = true,
            Tag::Strikethrough => self.style.struck = true,
            Tag::Link { dest_url, .. } => {
                self.links.push((dest_url.to_string(), self.pieces.len()));
                self.style.underlined = true;
            }
            Tag::Image { dest_url, .. } => {
                self.text("picture: ");
                self.links.push((dest_url.to_string(), self.pieces.len()));
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.flush(),
            TagEnd::Heading(_) => {
                self.flush();
                (self.style.bold, self.style.underlined) = (false, false);
            }
            TagEnd::BlockQuote(_) => {
                self.flush();
                self.margins.pop();
            }
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                self.code_block(&code);
            }
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
            }
            TagEnd::Item => {
                self.flush();
                self.margins.pop();
            }
            TagEnd::Table => self.lay_out_table(),
            TagEnd::TableCell => {
                let cell: String = self.pieces.drain(..).map(|(_, text)| text).collect();
                if let Some(row) = self.table.as_mut().and_then(|table| table.rows.last_mut()) {
                    row.push(cell);
                }
            }
            TagEnd::Emphasis => self.style.italic = false,
            TagEnd::Strong => self.style.bold = false,
            TagEnd::Strikethrough => self.style.struck = false,
            TagEnd::Link | TagEnd::Image => {
                self.style.underlined = false;
                let Some((target, from)) = self.links.pop() else { return };
                let words: String = self.pieces.iter().skip(from).map(|(_, text)| text.as_str()).collect();
                if words != target && !target.is_empty() {
                    self.text(&format!(" ({target})"));
                }
            }
            _ => {}
        }
    }

    /// Adds to the block that is being written. What would control the terminal is made visible.
    fn text(&mut self, text: &str) {
        if let Some(code) = &mut self.code {
            code.push_str(text);
            return;
        }
        self.pieces.push((self.style, printable(text, false)));
    }

    /// An empty line between blocks.
    fn space(&mut self) {
        self.flush();
        let begins_item = self.margins.last().is_some_and(|margin| margin.first.is_some());
        if !begins_item && self.lines.last().is_some_and(|line| !line.is_empty()) {
            let margin: String = self.margins.iter().map(|margin| margin.rest.as_str()).collect();
            self.lines.push(margin.trim_end().to_owned());
        }
    }

    fn dimmed(&mut self, text: &str) {
        let code = self.code.take();
        let before = std::mem::replace(&mut self.style, Style { dim: true, ..Style::default() });
        self.text(text);
        self.flush();
        (self.style, self.code) = (before, code);
    }

    /// Code is not wrapped at words, and its spaces stay.
    fn code_block(&mut self, code: &str) {
        let style = Style { code: true, ..Style::default() };
        for line in code.lines() {
            let line = printable(&line.replace('\t', "    "), false);
            let mut left = line.as_str();
            loop {
                let margin = self.margin();
                let room = self.paper.width.saturating_sub(margin.width() + 2).max(8);
                let cut = fitting(left, room);
                let (now, later) = left.split_at(cut);
                let painted = self.painted(style, now);
                self.lines.push(format!("{margin}  {painted}").trim_end().to_owned());
                left = later;
                if left.is_empty() {
                    break;
                }
            }
        }
    }

    /// Columns as wide as their widest cell; where that is too wide, a line a cell.
    fn lay_out_table(&mut self) {
        let Some(Table { rows }) = self.table.take() else { return };
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.width())).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let fits = widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1) <= self.paper.width;
        let heads = rows.first().cloned().unwrap_or_default();
        for (at, row) in rows.iter().enumerate() {
            let style = Style { bold: at == 0, ..Style::default() };
            if fits {
                let cells = row
                    .iter()
                    .zip(&widths)
                    .map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width()))));
                let line = cells.collect::<Vec<_>>().join("  ");
                let painted = self.painted(style, line.trim_end());
                let margin = self.margin();
                self.lines.push(margin + &painted);
            } else if at > 0 {
                for (head, cell) in heads.iter().zip(row) {
                    self.pieces.push((Style { bold: true, ..Style::default() }, format!("{head}: ")));
                    self.pieces.push((Style::default(), cell.clone()));
                    self.flush();
                }
                self.lines.push(String::new());
            }
        }
    }

    fn margin(&mut self) -> String {
        let pieces =
            self.margins.iter_mut().map(|margin| margin.first.take().unwrap_or_else(|| margin.rest.clone()));
        pieces.collect()
    }

    fn painted(&self, style: Style, text: &str) -> String {
        let codes = style.codes();
        match self.paper.styled && !codes.is_empty() && !text.is_empty() {
            true => format!("\u{1b}[{codes}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }

    /// Ends the block that is being written: its words in lines.
    fn flush(&mut self) {
        if self.code.is_some() || self.table.is_some() {
            return;
        }
        let pieces = std::mem::take(&mut self.pieces);
        if pieces.is_empty() {
            return;
        }
        let mut margin = self.margin();
        let (mut line, mut used) = (String::new(), 0);
        let mut end = |page: &mut Self, line: &mut String, used: &mut usize| {
            let whole = format!("{margin}{}", std::mem::take(line));
            page.lines.push(whole.trim_end().to_owned());
            *used = 0;
            margin = page.margin();
            margin.width()
        };
        let mut room = self
            .paper
            .width
            .saturating_sub(self.margins.iter().map(|margin| margin.rest.width()).sum())
            .max(8);
        for (style, text) in pieces {
            for word in text.split_inclusive(' ') {
                let bare = word.trim_end_matches(' ');
                if used > 0 && used + bare.width() > room {
                    let taken = end(self, &mut line, &mut used);
                    room = self.paper.width.saturating_sub(taken).max(8);
                }
                let mut left = if used == 0 { word.trim_start_matches(' ') } else { word };
                while left.trim_end_matches(' ').width() > room {
                    let cut = fitting(left, room);
                    let (now, later) = left.split_at(cut);
                    line.push_str(&self.painted(style, now));
                    end(self, &mut line, &mut used);
                    left = later;
                }
                line.push_str(&self.painted(style, left));
                used += left.width();
            }
        }
        if !line.is_empty() {
            end(self, &mut line, &mut used);
        }
    }
}

/// How many bytes of a text fit into so many columns; one character at least.
fn fitting(text: &str, room: usize) -> usize {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.width().unwrap_or(0);
        if used > room && at > 0 {
            return at;
        }
    }
    text.len()
}
