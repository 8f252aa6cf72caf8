//! What commands print: the API's answer as it is, or tables for people.

use std::io::{self, IsTerminal};

use jiff::Timestamp;
use serde_json::Value;

use super::client::Client;
use super::failure::Failure;
pub(super) use super::terminal::{note, print, printable, say, warn};
use prx_base::clock::Clock;

/// The gateway on one side and standard output on the other.
pub(super) struct Console {
    /// The gateway.
    pub(super) gateway: Client,
    /// The API's answers are wanted as they are.
    pub(super) json: bool,
}

impl Console {
    pub(super) fn new(gateway: Client, json: bool) -> Self {
        Self { gateway, json }
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

/// The files of a message or of a tool's answer, a line each: what they are, and where their bytes are.
pub(super) fn files(answer: &Value) -> Vec<String> {
    let files = answer["attachments"].as_array().into_iter().flatten();
    let line = |file: &Value| {
        let name = text(file.get("name").unwrap_or(&file["kind"]));
        let size = bytes(file["size"].as_u64().unwrap_or_default());
        format!("{name}, {size}: GET /api/v1/blobs/{}", text(&file["blob"]))
    };
    files.map(line).collect()
}

/// A table of some fields of a list of objects, or a line that says there is nothing. On a terminal it says how long ago
/// something was; elsewhere, when.
pub(super) fn table(rows: &Value, columns: &[&str]) -> String {
    table_at(rows, columns, now())
}

fn table_at(rows: &Value, columns: &[&str], now: Option<Timestamp>) -> String {
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return "none".to_owned();
    }
    let heads = columns.iter().map(|column| column.to_uppercase().replace('_', " ")).collect();
    let cells = rows.iter().map(|row| columns.iter().map(|column| cell(column, &row[column], now)).collect());
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(cells).collect();
    let width = |index: usize| lines.iter().map(|line| line[index].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let padded = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    padded.collect::<Vec<_>>().join("\n")
}

/// The fields of an object, a line each; those of an object in it with their whole name. What is empty is left out.
pub(super) fn fields(value: &Value) -> String {
    fields_at(value, now())
}

fn fields_at(value: &Value, now: Option<Timestamp>) -> String {
    let mut lines = Vec::new();
    collect(value, "", &mut lines);
    lines.retain(|(_, value)| !is_empty(value));
    lines_up(lines.into_iter().map(|(name, value)| {
        let shown = cell(name.rsplit('.').next().unwrap_or_default(), value, now);
        (name, shown)
    }))
}

/// The settings of an object as they would be set, a line each, those that are empty, too.
pub(super) fn settings(value: &Value) -> String {
    let mut lines = Vec::new();
    collect(value, "", &mut lines);
    lines_up(lines.into_iter().map(|(name, value)| (name, text(value))))
}

fn lines_up(lines: impl Iterator<Item = (String, String)>) -> String {
    let lines: Vec<_> = lines.collect();
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = lines.iter().map(|(name, value)| format!("{name:width$}  {value}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

fn collect<'v>(value: &'v Value, prefix: &str, lines: &mut Vec<(String, &'v Value)>) {
    for (field, value) in value.as_object().into_iter().flatten() {
        let name = format!("{prefix}{field}");
        match value {
            Value::Object(fields) if !fields.is_empty() => collect(value, &format!("{name}."), lines),
            _ => lines.push((name, value)),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// The present moment, where times are told from it: on a terminal.
fn now() -> Option<Timestamp> {
    io::stdout().is_terminal().then(|| Clock::system().now())
}

/// The value of a field for people: by its name, sizes in their unit and moments as how long ago they were.
fn cell(name: &str, value: &Value, now: Option<Timestamp>) -> String {
    let is_size = name == "size" || name.ends_with("_bytes") || name.starts_with("bytes_");
    let is_moment = ["at", "since", "last_activity"].contains(&name)
        || ["_at", "_since", "_until"].iter().any(|end| name.ends_with(end));
    let moment = || value.as_str()?.parse::<Timestamp>().ok().zip(now);
    match value.as_u64() {
        Some(size) if is_size => bytes(size),
        _ => match moment().filter(|_| is_moment) {
            Some((moment, now)) => ago(moment, now),
            None => text(value),
        },
    }
}

/// A size as people read it: `17 B`, `1.5 KiB`, `20 MiB`.
pub(super) fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (size as f64, 0);
    // What would be rounded to 1024 of a unit is one of the next.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.95 && (value * 10.0).round() % 10.0 != 0.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// How long ago a moment was, or how far ahead it is; the day, where that is over a month.
fn ago(moment: Timestamp, now: Timestamp) -> String {
    let secs = now.duration_since(moment).as_secs();
    let (distance, past) = (secs.unsigned_abs(), secs >= 0);
    let (count, unit) = match distance {
        0..60 => (distance, "s"),
        60..3_600 => (distance / 60, "min"),
        3_600..86_400 => (distance / 3_600, "h"),
        86_400..172_800 => (1, "day"),
        172_800..2_678_400 => (distance / 86_400, "days"),
        _ => return moment.strftime("%Y-%m-%d").to_string(),
    };
    if past { format!("{count} {unit} ago") } else { format!("in {count} {unit}") }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_lines_up() {
        let rows = json!([
            {"name": "weather", "capabilities": ["tool:a", "tool:b"], "amount": 7},
            {"name": "n\u{1b}[31m", "error": null},
        ]);
        insta::assert_snapshot!(table_at(&rows, &["name", "capabilities", "amount"], None), @r"
        NAME         CAPABILITIES    AMOUNT
        weather      tool:a, tool:b  7
        n\u{1b}[31m  -               -
        ");
        assert_eq!(table(&json!([]), &["name"]), "none");
    }

    #[test]
    fn fields_carry_their_whole_name_and_what_is_empty_is_left_out() {
        let value = json!({
            "a": {"b": 1, "cc": "x", "none": {"deep": []}}, "d": [], "e": {}, "f": null, "g": "", "h": false,
        });
        insta::assert_snapshot!(fields_at(&value, None), @"
        a.b   1
        a.cc  x
        h     false
        ");
    }

    #[test]
    fn sizes_have_a_unit() {
        let sizes = [0, 17, 1023, 1024, 1536, 20 << 20, (1 << 20) - 1, 123_456_789, 3 << 40, u64::MAX];
        let sizes = sizes.map(bytes).join(", ");
        insta::assert_snapshot!(sizes, @"0 B, 17 B, 1023 B, 1 KiB, 1.5 KiB, 20 MiB, 1 MiB, 118 MiB, 3 TiB, 16777216 TiB");
    }

    #[test]
    fn times_are_told_from_now_on_a_terminal_and_as_they_are_elsewhere() {
        let now: Timestamp = "2026-03-21T10:00:00Z".parse().expect("a moment");
        let rows = |now| {
            let row = |at: &str| json!({"created_at": at, "since": at, "text": at, "memory_usage_bytes": 3_145_728});
            let rows = json!([row("2026-03-21T09:57:00Z"), row("2026-03-22T12:00:00.5Z"), row("soon")]);
            table_at(&rows, &["created_at", "since", "text", "memory_usage_bytes"], now)
        };
        insta::assert_snapshot!(rows(Some(now)), @r"
        CREATED AT  SINCE      TEXT                    MEMORY USAGE BYTES
        3 min ago   3 min ago  2026-03-21T09:57:00Z    3 MiB
        in 1 day    in 1 day   2026-03-22T12:00:00.5Z  3 MiB
        soon        soon       soon                    3 MiB
        ");
        assert!(rows(None).contains("2026-03-21T09:57:00Z    2026-03-21T09:57:00Z"), "{}", rows(None));
        let told = [5, 59, 60, 3_600, 90_000, 200_000, 2_678_400]
            .map(|secs| ago(now - std::time::Duration::from_secs(secs), now));
        assert_eq!(
            told,
            ["5 s ago", "59 s ago", "1 min ago", "1 h ago", "1 day ago", "2 days ago", "2026-02-18"]
        );
    }
}
