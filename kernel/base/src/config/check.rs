//! Holds a configuration against the table of keys, and says what is wrong so that it can be mended.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use super::keys::{
    AGENT_KEYS, COMPONENT_TABLES, FILTER_KEYS, FILTER_ORDER, GRANT_KEYS, KEYS, Key, PROVIDER_KEYS, Type,
    nearest,
};

/// One thing wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Dotted path of the key it is about.
    pub(super) key: String,
    /// What is wrong, and what would be right.
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// One that is about no key in particular.
    pub(super) fn of_file(message: impl Into<String>) -> Self {
        Self::new("", message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.key.is_empty() { "" } else { " " };
        write!(f, "{}{separator}{}", self.key, self.message)
    }
}

/// Everything wrong with `document`; nothing, if it can be served.
pub(super) fn check(document: &Map<String, Value>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (section, value) in document {
        if COMPONENT_TABLES.contains(&section.as_str()) {
            check_components(section, value, &mut problems);
        } else {
            check_section(section, value, &mut problems);
        }
    }
    problems
}

fn check_section(section: &str, value: &Value, problems: &mut Vec<Problem>) {
    let sections: BTreeSet<&str> = KEYS.iter().filter_map(|key| Some(key.path.split_once('.')?.0)).collect();
    if !sections.contains(section) {
        let known = sections.into_iter().chain(COMPONENT_TABLES.iter().copied());
        problems.push(unknown("table", section, section, known));
        return;
    }
    let prefix = format!("{section}.");
    let rows = KEYS.iter().filter_map(|key| Some((key.path.strip_prefix(&prefix)?, key)));
    check_table(section, value, rows, problems);
}

fn check_table<'a>(
    path: &str,
    value: &Value,
    rows: impl Iterator<Item = (&'a str, &'a Key)> + Clone,
    problems: &mut Vec<Problem>,
) {
    let Value::Object(table) = value else {
        problems.push(Problem::new(path, format!("is a table: write [{path}]")));
        return;
    };
    for (name, value) in table {
        let path = format!("{path}.{name}");
        match rows.clone().find(|(row, _)| row == name) {
            None => problems.push(unknown("key", &path, name, rows.clone().map(|(name, _)| name))),
            Some((_, key)) => check_value(&path, value, key, problems),
        }
    }
}

fn check_value(path: &str, value: &Value, key: &Key, problems: &mut Vec<Problem>) {
    match (key.ty, value) {
        (Type::Tables(keys), Value::Object(tables)) => {
            for (name, table) in tables {
                let rows = keys.iter().map(|key| (key.path, key));
                check_table(&format!("{path}.{name}"), table, rows, problems);
            }
        }
        (Type::Table(keys), Value::Object(_)) => {
            check_table(path, value, keys.iter().map(|key| (key.path, key)), problems);
        }
        (ty, value) => problems.extend(ty.mismatch(value).map(|message| Problem::new(path, message))),
    }
}

fn check_components(section: &str, value: &Value, problems: &mut Vec<Problem>) {
    let Value::Object(tables) = value else {
        problems.push(Problem::new(section, format!("holds one table a name: write [{section}.NAME]")));
        return;
    };
    for (name, table) in tables {
        let path = format!("{section}.{name}");
        match table {
            order if section == "filters" && name == FILTER_ORDER.path => {
                check_value(&path, order, &FILTER_ORDER, problems);
            }
            Value::Object(_) if section == "filters" => {
                check_table(&path, table, FILTER_KEYS.iter().map(|key| (key.path, key)), problems);
            }
            Value::Object(_) if section == "grants" => {
                check_table(&path, table, GRANT_KEYS.iter().map(|key| (key.path, key)), problems);
            }
            Value::Object(table) if matches!(section, "providers_config" | "agents") => {
                let keys = if section == "agents" { AGENT_KEYS } else { PROVIDER_KEYS };
                // The others are the plugin's.
                for key in keys {
                    if let Some(value) = table.get(key.path) {
                        check_value(&format!("{path}.{}", key.path), value, key, problems);
                    }
                }
            }
            Value::Object(_) => {}
            _ => problems.push(Problem::new(&path, format!("is a table: write [{path}]"))),
        }
    }
}

fn unknown<'a>(what: &str, path: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    let known: Vec<&str> = known.collect();
    let message = match nearest(name, known.iter().copied()) {
        Some(near) => format!("is no {what} there is; did you mean \"{near}\"?"),
        None => format!("is no {what} there is; there are: {}", known.join(", ")),
    };
    Problem::new(path, message)
}
