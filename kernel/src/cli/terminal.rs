//! What goes to standard output and standard error.

use std::io::{self, ErrorKind, Write};

use super::failure::Failure;
use prx_base::text::is_format_control;

/// Prints a text and ends its line.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    print(&format!("{}\n", text.trim_end_matches('\n')))
}

/// Tells whoever is at the terminal what to do, beside what the command prints.
pub(super) fn note(text: &str) {
    // There is nowhere else to say that standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says something on standard error that is no failure.
pub(super) fn warn(text: &str) {
    // There is nowhere else to say that standard error is gone.
    let _ = writeln!(io::stderr(), "prx: {}", text.trim_end_matches('\n'));
}

/// Prints a text at once, as it is. A reader who has gone away has seen enough.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The text with its control characters made visible; line breaks may stay.
pub(super) fn printable(text: &str, keep_lines: bool) -> String {
    let escape = |character: char| match character {
        '\n' | '\t' if keep_lines => character.to_string(),
        // Marks of a direction, too: a text could be shown as another one.
        _ if is_format_control(character) || matches!(character, '\u{200e}' | '\u{200f}') => {
            character.escape_default().to_string()
        }
        _ => character.to_string(),
    };
    text.chars().map(escape).collect()
}
