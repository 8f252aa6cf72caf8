//! Tables, for platforms that have none: their columns aligned in plain text.

use super::restored;
use crate::text::units;
use pulldown_cmark::{Alignment, Event, Tag};
use unicode_width::UnicodeWidthStr;

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
            let text: String =
                text.chars().map(restored).map(|c| if c.is_control() { ' ' } else { c }).collect();
            // A row is one line here.
            cell.push_str(
                &["<br>", "<br/>", "<br />"].iter().fold(text, |text, tag| text.replace(tag, " / ")),
            );
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
