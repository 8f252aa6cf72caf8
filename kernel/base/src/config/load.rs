//! From a file on disk to a checked configuration.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value};
use toml_edit::{Document, DocumentMut, Item, Table, TableLike};

use super::check::{Problem, check};
use super::sections::Config;

/// What some editors put at the beginning of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A configuration file that can't be served, with each reason on a line of its own.
#[derive(Debug)]
pub struct Invalid {
    file: PathBuf,
    reasons: Vec<Reason>,
}

#[derive(Debug)]
struct Reason {
    line: Option<usize>,
    text: String,
}

impl Invalid {
    /// What is wrong with keys of a file that was read before, each with its line where the file still has one.
    pub fn of(file: &Path, problems: Vec<(String, String)>) -> Self {
        let text = fs::read_to_string(file).unwrap_or_default();
        let document = Document::parse(text.as_str()).ok();
        let reason = |(key, message): (String, String)| {
            let start = document.as_ref().and_then(|document| span_start(document.as_item(), &key));
            Reason { line: start.map(|start| line_at(&text, start)), text: format!("{key}: {message}") }
        };
        Self { file: file.into(), reasons: problems.into_iter().map(reason).collect() }
    }

    /// There is no text to check.
    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        Self::whole(file, error.to_string())
    }

    /// Something is wrong with the file as a whole.
    pub(super) fn whole(file: &Path, text: String) -> Self {
        Self { file: file.into(), reasons: vec![Reason { line: None, text }] }
    }

    /// The same, and something about the file as a whole.
    pub(super) fn and(mut self, file: &Path, text: String) -> Self {
        self.reasons.extend(Self::whole(file, text).reasons);
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Reason { line, text }) in self.reasons.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            match line {
                Some(line) => write!(f, "{newline}{}:{line}: {text}", self.file.display())?,
                None => write!(f, "{newline}{}: {text}", self.file.display())?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// The text of a configuration file, parsed and checked. Whoever changes it goes on from here instead of parsing it
/// again.
pub struct Parsed {
    /// What the text says, as far as the command line does not overrule it.
    pub config: Config,
    /// What the text says.
    pub written: Config,
    document: Document<String>,
    ends: LineEnds,
}

/// What a text has around its lines, which a document does not keep.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineEnds {
    mark: bool,
    carriage_returns: bool,
}

impl LineEnds {
    fn of(text: &str) -> Self {
        let (all, with) = (text.matches('\n').count(), text.matches("\r\n").count());
        Self { mark: text.starts_with(BYTE_ORDER_MARK), carriage_returns: with * 2 > all }
    }

    /// A text as a value. Where lines end otherwise than in it, it is written on one line: it would change.
    pub(super) fn text(self, text: &str) -> toml_edit::Value {
        let escaped = || serde_json::to_string(text).ok()?.replace('\u{7f}', "\\u007f").parse().ok();
        let escaped = if self.carriage_returns && text.contains('\n') { escaped() } else { None };
        escaped.unwrap_or_else(|| text.into())
    }

    /// A changed text, with what the text before had.
    pub(super) fn restore(self, text: String) -> String {
        let text =
            if self.carriage_returns { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text };
        if self.mark { format!("{BYTE_ORDER_MARK}{text}") } else { text }
    }
}

impl Parsed {
    /// Whether the text itself has this key, by its dotted path.
    pub fn says(&self, path: &str) -> bool {
        path.split('.').try_fold(self.document.as_item(), |item, part| item.get(part)).is_some()
    }

    /// The text as a document whose values can be changed while its comments stay, and how its lines end.
    pub(super) fn into_document(self) -> (DocumentMut, LineEnds) {
        (self.document.into_mut(), self.ends)
    }
}

/// Parses and checks the text of a configuration file; `file` is only named in errors.
pub(super) fn parse(file: &Path, text: String) -> Result<Parsed, Invalid> {
    let invalid = |reasons| Invalid { file: file.into(), reasons };
    let ends = LineEnds::of(&text);
    let text = text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text);
    let document = match Document::parse(text.clone()) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map(|span| line_at(&text, span.start));
            return Err(invalid(vec![Reason { line, text: error.message().replace('\n', ", ") }]));
        }
    };
    match read(document.as_table()) {
        Ok(config) => Ok(Parsed { written: config.clone(), config, document, ends }),
        Err(problems) => {
            let reason = |problem: Problem| Reason {
                line: span_start(document.as_item(), &problem.key).map(|start| line_at(&text, start)),
                text: problem.to_string(),
            };
            Err(invalid(problems.into_iter().map(reason).collect()))
        }
    }
}

/// What a document says, or everything that is wrong with it.
pub(super) fn read(table: &Table) -> Result<Config, Vec<Problem>> {
    let table = object(table);
    let problems = check(&table);
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_json::from_value(Value::Object(table)).map_err(|error| vec![Problem::of_file(error.to_string())])
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Where the deepest part of a dotted key that has a place in the text begins.
fn span_start(root: &Item, key: &str) -> Option<usize> {
    let mut item = root;
    let mut start = None;
    for part in key.split('.') {
        let Some((key, value)) = item.as_table_like().and_then(|table| table.get_key_value(part)) else {
            break;
        };
        let span = key.span().or_else(|| value.span());
        start = span.map(|span| span.start).or(start);
        item = value;
    }
    start
}

fn object(table: &dyn TableLike) -> Map<String, Value> {
    let written = table.iter().filter(|(_, item)| !is_unwritten(item));
    written.map(|(key, item)| (key.to_owned(), json(item))).collect()
}

/// Whether a table is left without a place in the text: only what is in it would have one, and nothing is.
fn is_unwritten(item: &Item) -> bool {
    match item {
        Item::Table(table) if table.is_implicit() || table.is_dotted() => {
            table.iter().all(|(_, item)| is_unwritten(item))
        }
        Item::Value(toml_edit::Value::InlineTable(table)) if table.is_dotted() => table.is_empty(),
        _ => false,
    }
}

fn json(item: &Item) -> Value {
    if let Some(table) = item.as_table_like() {
        return Value::Object(object(table));
    }
    match item {
        Item::Value(value) => json_value(value),
        Item::ArrayOfTables(tables) => tables.iter().map(|table| Value::Object(object(table))).collect(),
        Item::None | Item::Table(_) => Value::Null,
    }
}

fn json_value(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::String(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::Float(number) => {
            Number::from_f64(*number.value()).map_or(Value::Null, Value::Number)
        }
        toml_edit::Value::Boolean(truth) => Value::Bool(*truth.value()),
        toml_edit::Value::Datetime(time) => Value::String(time.value().to_string()),
        toml_edit::Value::Array(list) => list.iter().map(json_value).collect(),
        toml_edit::Value::InlineTable(table) => Value::Object(object(table)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Config, Invalid> {
        parse(Path::new("prx.toml"), text.to_owned()).map(|parsed| parsed.config)
    }

    fn refused(text: &str) -> String {
        parsed(text).expect_err("should be refused").to_string()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(parsed("").expect("empty"), Config::default());
    }

    #[test]
    fn tables_of_components_are_kept_as_written() {
        let text =
            "[channels_config.work]\nplugin = \"chat\"\nallowed_users = [\"7\"]\n[agent]\nmax_turns = 3\n";
        let config = parsed(text).expect("valid");
        assert_eq!(config.agent.max_turns, 3);
        assert_eq!(config.components.channels_config["work"]["allowed_users"][0], "7");
    }

    #[test]
    fn a_problem_names_file_line_key_and_the_nearest() {
        assert_eq!(
            refused("[agent]\nmax_turn = 3\n"),
            "prx.toml:2: agent.max_turn is no key there is; did you mean \"max_turns\"?"
        );
        assert_eq!(
            refused("\n[gatway]\nport = 1\n"),
            "prx.toml:2: gatway is no table there is; did you mean \"gateway\"?"
        );
        assert_eq!(
            refused("[gateway]\nport = 99999\n"),
            "prx.toml:2: gateway.port takes a whole number from 0 to 65535, not 99999"
        );
        assert_eq!(
            refused("[logs]\nlevel = \"loud\"\n"),
            "prx.toml:2: logs.level takes one of trace, debug, info, warn, error, not \"loud\""
        );
        assert!(refused("[grants.weather]\nhtttp = []\n").contains("did you mean \"http\"?"));
    }

    #[test]
    fn broken_syntax_names_its_line() {
        assert!(refused("[agent]\nmax_turns = \n").starts_with("prx.toml:2: "));
    }

    #[test]
    fn every_key_of_the_table_has_a_default_that_fits_it() {
        let defaults = serde_json::to_value(Config::default()).expect("plain data");
        for key in super::super::keys::KEYS {
            let pointer = format!("/{}", key.path.replace('.', "/"));
            let value = defaults.pointer(&pointer).unwrap_or_else(|| panic!("{} has no default", key.path));
            assert_eq!(key.ty.mismatch(value), None, "{}", key.path);
        }
    }
}
