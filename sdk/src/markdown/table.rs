//! Tables, for platforms that have none: their columns aligned in plain text.

use super::{parser, restored, shielded};
use crate::text::units;
use pulldown_cmark::{Alignment, Event, Tag, TagEnd};
use std::borrow::Cow;
use unicode_width::UnicodeWidthStr;

/// How many times as long as its Markdown an aligned table may be.
const MAX_GROWTH: usize = 4;

/// A table, cell by cell as the parser reads it.
#[derive(Clone, Debug, Default)]
pub struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns, and no rows.
    pub fn new(alignments: Vec<Alignment>) -> Self {
        Self { alignments, rows: Vec::new() }
    }

    /// Takes an event that came between the table's beginning and its end.
    pub fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Start(Tag::TableHead | Tag::TableRow) => self.rows.push(Vec::new()),
            Event::Start(Tag::TableCell) => {
                if let Some(row) = self.rows.last_mut() {
                    row.push(String::new());
                }
            }
            Event::Text(text) | Event::Code(text) | Event::InlineHtml(text) => self.push(text),
            Event::InlineMath(text) => self.push(&format!("${text}$")),
            Event::DisplayMath(text) => self.push(&format!("$${text}$$")),
            Event::SoftBreak | Event::HardBreak => self.push(" "),
            _ => {}
        }
    }

    fn push(&mut self, text: &str) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
            cell.extend(text.chars().map(restored).map(|c| if c.is_control() { ' ' } else { c }));
        }
    }

    /// The table with its columns aligned, in at most so many UTF-16 units. None: it takes more.
    pub fn aligned(&self, limit: usize) -> Option<String> {
        let mut widths = vec![0; self.alignments.len()];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        let width = widths.iter().sum::<usize>() + 3 * widths.len();
        if width.saturating_mul(self.rows.len() + 1) > limit.saturating_mul(2) {
            return None;
        }
        let mut out = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            self.row(row, &widths, &mut out);
            if index == 0 {
                out.push('\n');
                out.push_str(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("-+-"));
            }
        }
        (units(&out) <= limit).then_some(out)
    }

    fn row(&self, row: &[String], widths: &[usize], out: &mut String) {
        let begin = out.len();
        for (index, (width, alignment)) in widths.iter().zip(&self.alignments).enumerate() {
            let cell = row.get(index).map_or("", String::as_str);
            let space = width.saturating_sub(cell.width());
            let before = match alignment {
                Alignment::Right => space,
                Alignment::Center => space / 2,
                Alignment::None | Alignment::Left => 0,
            };
            if index > 0 {
                out.push_str(" | ");
            }
            out.extend(std::iter::repeat_n(' ', before));
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', space - before));
        }
        out.truncate(begin + out[begin..].trim_end().len());
    }
}

/// The text with each of its tables in a code block, its columns aligned; for a platform that shows such blocks as they
/// are and knows no tables. Tables in lists and quotes stay as they are, and so do those that would grow too much.
pub fn tables_as_code(text: &str) -> Cow<'_, str> {
    if !text.contains('|') {
        return Cow::Borrowed(text);
    }
    let shielded = shielded(text);
    let (mut out, mut copied, mut depth) = (String::new(), 0, 0_usize);
    let mut table: Option<Table> = None;
    for (event, range) in parser(&shielded).into_offset_iter() {
        match &event {
            Event::Start(Tag::Table(alignments)) if depth == 0 => {
                table = Some(Table::new(alignments.clone()))
            }
            Event::End(TagEnd::Table) => {
                let source = &text[range.clone()];
                let aligned = table.take().and_then(|table| table.aligned(MAX_GROWTH * units(source)));
                if let Some(aligned) = aligned.filter(|aligned| !aligned.contains("```")) {
                    out.push_str(&text[copied..range.start]);
                    out.push_str("```\n");
                    out.push_str(&aligned);
                    out.push_str("\n```");
                    copied = range.start + source.trim_end().len();
                }
            }
            Event::Start(Tag::Item | Tag::BlockQuote(_)) => depth += 1,
            Event::End(TagEnd::Item | TagEnd::BlockQuote(_)) => depth = depth.saturating_sub(1),
            event => {
                if let Some(table) = &mut table {
                    table.take(event);
                }
            }
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}
