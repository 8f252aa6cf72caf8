//! What commands print: the API's answer as it is, or tables for people.

use std::io::{self, ErrorKind, Write};

use serde_json::Value;

use super::client::Client;
use super::failure::Failure;
use super::paths::Paths;

/// The gateway on one side and standard output on the other.
#[derive(Debug)]
pub(super) struct Console {
    /// The running gateway.
    pub(super) gateway: Client,
    /// The API's answers are wanted as they are.
    pub(super) json: bool,
}

impl Console {
    pub(super) fn new(paths: &Paths, json: bool) -> Self {
        Self { gateway: Client::new(&paths.data_dir), json }
    }

    /// Prints an answer as it is if that is wanted, or else what `human` makes of it.
    pub(super) fn show(&self, answer: &Value, human: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        if self.json { say(&format!("{answer:#}")) } else { say(&human(answer)) }
    }

    /// Says what was done, where the API answers nothing.
    pub(super) fn done(&self, what: &Value, human: &str) -> Result<(), Failure> {
        self.show(what, |_| human.to_owned())
    }
}

/// Prints a text and ends its line.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    print(&format!("{}\n", text.trim_end_matches('\n')))
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

/// The files of a message or of a tool's answer, a line each: what they are, and where their bytes are.
pub(super) fn files(answer: &Value) -> Vec<String> {
    let files = answer["attachments"].as_array().into_iter().flatten();
    let line = |file: &Value| {
        let name = text(file.get("name").unwrap_or(&file["kind"]));
        format!("{name}, {} bytes: GET /api/v1/blobs/{}", file["size"], text(&file["blob"]))
    };
    files.map(line).collect()
}

/// A table of some fields of a list of objects, or a line that says there is nothing.
pub(super) fn table(rows: &Value, columns: &[&str]) -> String {
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return "none".to_owned();
    }
    let heads = columns.iter().map(|column| column.to_uppercase().replace('_', " ")).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|column| text(&row[column])).collect());
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(cells).collect();
    let width = |index: usize| lines.iter().map(|line| line[index].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let padded = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    padded.collect::<Vec<_>>().join("\n")
}

/// The fields of an object, a line each; those of an object in it with their whole name.
pub(super) fn fields(value: &Value) -> String {
    let mut lines = Vec::new();
    collect(value, "", &mut lines);
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = lines.iter().map(|(name, value)| format!("{name:width$}  {value}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

fn collect(value: &Value, prefix: &str, lines: &mut Vec<(String, String)>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        match value {
            Value::Object(fields) if !fields.is_empty() => collect(value, &format!("{name}."), lines),
            _ => lines.push((name, text(value))),
        }
    }
}

/// A value for people. What comes from outside can't control the terminal.
fn text(value: &Value) -> String {
    let plain = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    printable(&plain, false)
}

/// The text with its control characters made visible; line breaks may stay.
pub(super) fn printable(text: &str, keep_lines: bool) -> String {
    let escape = |character: char| match character {
        '\n' | '\t' if keep_lines => character.to_string(),
        _ if character.is_control() => character.escape_default().to_string(),
        _ => character.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_lines_up() {
        let rows = json!([
            {"name": "weather", "capabilities": ["tool:a", "tool:b"], "size": 7},
            {"name": "n\u{1b}[31m", "error": null},
        ]);
        insta::assert_snapshot!(table(&rows, &["name", "capabilities", "size"]), @r"
        NAME         CAPABILITIES    SIZE
        weather      tool:a, tool:b  7
        n\u{1b}[31m  -               -
        ");
        assert_eq!(table(&json!([]), &["name"]), "none");
    }

    #[test]
    fn fields_carry_their_whole_name() {
        let value = json!({"a": {"b": 1, "cc": "x"}, "d": [], "e": {}});
        insta::assert_snapshot!(fields(&value), @"
        a.b   1
        a.cc  x
        d
        e     {}
        ");
    }
}
