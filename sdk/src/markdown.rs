//! Markdown as models write it, read with `pulldown-cmark`; feature `markdown`, for connectors.
//!
//! Models write Markdown, and beside it paths, links, formulas and tags that a Markdown parser would tear apart:
//! [`shielded`] hides those from it. What it hides has the same length, so that offsets into one text are offsets into
//! the other, and [`restored`] brings it back.
//!
//! ```
//! use prx_sdk::markdown::{parser, restored, shielded};
//! use pulldown_cmark::Event;
//!
//! let text = "See src/__init__.py";
//! let shielded = shielded(text);
//! let events: Vec<Event> = parser(&shielded).collect();
//! assert_eq!(events.len(), 3, "a paragraph with one text in it");
//! let Event::Text(read) = &events[1] else { panic!("a text") };
//! assert_eq!(read.chars().map(restored).collect::<String>(), text);
//! ```

mod dialect;
mod shield;
mod table;
#[cfg(test)]
mod tests;

pub use dialect::{linked, simplified};
pub use shield::{restored, shielded};
pub use table::Table;

use pulldown_cmark::{Options, Parser};

/// A parser of Markdown with what models use beyond CommonMark: tables, text that is struck out, task lists, footnotes,
/// formulas.
pub fn parser(text: &str) -> Parser<'_> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_MATH;
    Parser::new_ext(text, options)
}
