//! A log line for people. What comes from outside can't begin a line of its own or control the terminal.

use std::fmt::{self, Debug, Write};

use tracing::field::Field;
use tracing_subscriber::fmt::format::Writer;

use crate::text::is_format_control;

/// Writes one field of a line.
pub(super) fn write(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Printable(writer), "{value:?}")
}

/// Passes text on with its control characters, and those that turn the reading direction, made visible.
struct Printable<'a, 'w>(&'a mut Writer<'w>);

impl Write for Printable<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match is_format_control(character) {
            true => write!(self.0, "{}", character.escape_default()),
            false => self.0.write_char(character),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        let mut line = String::new();
        let text = "fine\nINFO forged \u{1b}[31m\u{202e}";
        write!(Printable(&mut Writer::new(&mut line)), "{text}").unwrap();
        assert_eq!(line, "fine\\nINFO forged \\u{1b}[31m\\u{202e}");
    }
}
