//! A text on the terminal that grows: what may still change is drawn again in its place.

use std::io::IsTerminal;

use rustix::termios::tcgetwinsize;

use super::super::failure::Failure;
use super::super::terminal::print;
use super::markdown::{self, Paper};

/// How a text is made into lines.
type Layout = fn(&str, Paper) -> Vec<String>;

/// A text that grows.
pub(super) struct Live {
    layout: Layout,
    /// What is not settled yet.
    text: String,
    /// Lines of it that stand on the terminal and may be drawn again.
    drawn: usize,
    /// Lines of it that have left the terminal at its top, or are about to.
    settled: usize,
    changed: bool,
}

/// The terminal that is written to; none where standard output is none, or one that knows nothing but lines.
pub(super) fn paper() -> Option<Paper> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !std::io::stdout().is_terminal() || std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb") {
        return None;
    }
    let (columns, _) = size();
    Some(Paper { width: columns.saturating_sub(1).clamp(20, 120), styled: !is_set("NO_COLOR") })
}

/// Columns and rows.
fn size() -> (usize, usize) {
    let size = tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
}

impl Live {
    /// One in Markdown.
    pub(super) fn markdown() -> Self {
        Self::of(markdown::lines)
    }

    /// One that is beside the matter.
    pub(super) fn aside() -> Self {
        Self::of(markdown::aside)
    }

    fn of(layout: Layout) -> Self {
        Self { layout, text: String::new(), drawn: 0, settled: 0, changed: false }
    }

    /// Adds to it. Nothing is drawn yet.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.changed = true;
    }

    /// Draws what has changed.
    pub(super) fn draw(&mut self, paper: Paper) -> Result<(), Failure> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        let mut out = self.erased();
        let last = markdown::last_block(&self.text);
        if last > 0 {
            let done: String = self.text.drain(..last).collect();
            for line in (self.layout)(&done, paper).iter().skip(self.settled) {
                out.push_str(line);
                out.push('\n');
            }
            out.push('\n');
            self.settled = 0;
        }
        let lines = (self.layout)(&self.text, paper);
        // What is higher than the terminal can't be drawn again.
        let (_, rows) = size();
        let settled = lines.len().saturating_sub(rows.saturating_sub(2)).max(self.settled);
        for line in lines.iter().skip(self.settled) {
            out.push_str(line);
            out.push('\n');
        }
        self.drawn = lines.len().saturating_sub(settled);
        self.settled = settled;
        print(&out)
    }

    /// Draws the last of it. What follows stands below.
    pub(super) fn end(&mut self, paper: Paper) -> Result<(), Failure> {
        self.changed |= !self.text.is_empty();
        self.draw(paper)?;
        (self.text, self.drawn, self.settled) = (String::new(), 0, 0);
        Ok(())
    }

    /// What takes the lines away that may be drawn again.
    fn erased(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            drawn => format!("\u{1b}[{drawn}A\u{1b}[J"),
        }
    }
}
