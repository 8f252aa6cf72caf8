//! Changes to a configuration by dotted keys: all of them or none, with the file's comments kept.

use serde_json::{Map, Value};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table};

use super::changes::Changes;
use super::check::Problem;
use super::keys::COMPONENT_TABLES;
use super::load::{LineEnds, Parsed, read};
use super::secret::REDACTED;
use super::sections::Config;

/// What a change comes to, before anything is put in force or on disk.
#[derive(Debug)]
pub struct Patched {
    /// The file's new text.
    pub text: String,
    /// What it says, as far as the command line does not overrule it.
    pub config: Config,
    /// What it says.
    pub written: Config,
    /// The dotted keys that were set or removed.
    pub updated: Vec<String>,
    /// Some of them are only felt after a restart.
    pub restart: bool,
}

/// Applies changes such as `{"agent.max_turns": 100}` to the text of a configuration file. `null` takes a key
/// out, so that its default serves again.
///
/// # Errors
/// One message for each key that is wrong. Nothing is changed then.
pub(super) fn patch(parsed: Parsed, changes: &Map<String, Value>) -> Result<Patched, Vec<String>> {
    let (mut document, ends) = parsed.into_document();
    let mut leaves = Vec::new();
    for (key, value) in changes {
        flatten(key, value, &mut leaves);
    }
    let mut problems = Vec::new();
    for (key, value) in &leaves {
        if let Err(problem) = set(&mut document, key, value, ends) {
            problems.push(problem);
        }
    }
    let config = match read(document.as_table()) {
        Ok(config) if problems.is_empty() => config,
        Ok(_) => return Err(texts(&problems)),
        Err(further) => {
            problems.extend(further);
            return Err(texts(&problems));
        }
    };
    let updated: Vec<String> = leaves.into_iter().map(|(key, _)| key).collect();
    let restart = Changes::need_restart(&updated);
    Ok(Patched {
        text: ends.restore(document.to_string()),
        written: config.clone(),
        config,
        updated,
        restart,
    })
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(Problem::to_string).collect()
}

/// A section given as an object stands for its keys; the table of a component is a value of its own.
fn flatten(key: &str, value: &Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(table) if !key.contains('.') => {
            for (name, value) in table {
                flatten(&format!("{key}.{name}"), value, leaves);
            }
        }
        _ => leaves.push((key.to_owned(), value.clone())),
    }
}

fn set(document: &mut DocumentMut, key: &str, value: &Value, ends: LineEnds) -> Result<(), Problem> {
    let problem = |message: &str| Problem::new(key, message);
    if contains_redaction(value) {
        return Err(problem(
            "is shown as ***REDACTED***, which can't be sent back: leave it out to keep its value",
        ));
    }
    let parts: Vec<&str> = key.split('.').collect();
    let Some((last, path)) = parts.split_last().filter(|_| parts.iter().all(|part| !part.is_empty())) else {
        return Err(problem("is no dotted key, such as agent.max_turns"));
    };
    if path.is_empty() {
        return Err(problem("is a table: name a key in it, such as agent.max_turns"));
    }
    let mut table: &mut dyn toml_edit::TableLike = document.as_table_mut();
    let mut inline = false;
    for part in path {
        if value.is_null() && !table.contains_key(part) {
            return Ok(());
        }
        let inner = table.entry(part).or_insert_with(|| {
            if inline { Item::Value(InlineTable::new().into()) } else { Item::Table(implicit()) }
        });
        inline |= inner.is_inline_table();
        table = inner.as_table_like_mut().ok_or_else(|| problem("goes through a key that is no table"))?;
    }
    if value.is_null() {
        table.remove(last);
        return Ok(());
    }
    let component = COMPONENT_TABLES.contains(&path[0]) && path.len() == 1;
    let mut item = item(value, component, inline, ends);
    match table.get_mut(last) {
        // In its old place, a value keeps the comments around it.
        Some(old) => {
            if let (Some(new), Some(old)) = (item.as_value_mut(), old.as_value()) {
                *new.decor_mut() = old.decor().clone();
            }
            *old = item;
        }
        None => {
            table.insert(last, item);
        }
    }
    Ok(())
}

/// A table that shows no header of its own while it only holds other tables.
fn implicit() -> Table {
    let mut table = Table::new();
    table.set_implicit(true);
    table
}

/// A value as the file has it; `null` in a component's table is a key that is not there.
fn item(value: &Value, component: bool, inline: bool, ends: LineEnds) -> Item {
    match value {
        Value::Object(fields) if component => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            let table: Table = fields.map(|(key, value)| (key.as_str(), item_value(value, ends))).collect();
            if inline { Item::Value(table.into_inline_table().into()) } else { Item::Table(table) }
        }
        _ => Item::Value(item_value(value, ends)),
    }
}

fn item_value(value: &Value, ends: LineEnds) -> toml_edit::Value {
    match value {
        Value::Null => toml_edit::Value::from(""),
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or_default().into(),
        },
        Value::String(text) => ends.text(text),
        Value::Array(list) => {
            toml_edit::Value::Array(list.iter().map(|item| item_value(item, ends)).collect::<Array>())
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.as_str(), item_value(value, ends)));
            toml_edit::Value::InlineTable(fields.collect::<InlineTable>())
        }
    }
}

fn contains_redaction(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(REDACTED),
        Value::Array(list) => list.iter().any(contains_redaction),
        Value::Object(fields) => fields.values().any(contains_redaction),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::super::load::parse;
    use super::*;

    const FILE: &str =
        "# mine\n[agent]\n# how many\nmax_turns = 3 # few\n\n[channels_config.work]\nbot_token = \"t\"\n";

    fn parsed(text: &str) -> Parsed {
        parse(Path::new("prx.toml"), text.to_owned()).expect("valid")
    }

    fn patched(changes: &Value) -> Result<Patched, Vec<String>> {
        patch(parsed(FILE), changes.as_object().expect("an object"))
    }

    #[test]
    fn values_change_and_comments_stay() {
        let done = patched(&json!({"agent.max_turns": 100, "memory.top_k": 15})).expect("valid");
        assert!(
            done.text.starts_with("# mine\n[agent]\n# how many\nmax_turns = 100 # few\n"),
            "{}",
            done.text
        );
        assert_eq!((done.config.agent.max_turns, done.config.memory.top_k), (100, 15));
        assert_eq!(done.updated, ["agent.max_turns", "memory.top_k"]);
        assert!(!done.restart);
    }

    #[test]
    fn a_restart_is_asked_for_exactly_where_one_is_needed() {
        assert!(patched(&json!({"gateway.port": 4000})).expect("valid").restart);
        assert!(!patched(&json!({"gateway.max_body_bytes": 4000})).expect("valid").restart);
    }

    #[test]
    fn one_bad_key_changes_nothing() {
        let refused = patched(&json!({"agent.max_turns": 5, "agent.max_turn": 5})).expect_err("a typo");
        assert_eq!(refused, ["agent.max_turn is no key there is; did you mean \"max_turns\"?"]);
        assert!(patched(&json!({"agent": 5})).is_err());
        assert!(patched(&json!({"agent.max_turns.x": 5})).is_err());
        assert!(patched(&json!({"": 5})).is_err());
        let refused = patched(&json!({"channels_config.work.bot_token": REDACTED})).expect_err("a redaction");
        assert!(refused[0].contains("leave it out"), "{refused:?}");
    }

    #[test]
    fn channels_come_and_go() {
        let change = json!({"channels_config.home": {"plugin": "x", "allowed_users": ["7"]}, "channels_config.work": null});
        let done = patched(&change).expect("valid");
        let channels = done.config.components.channels_config;
        assert_eq!(channels.keys().collect::<Vec<_>>(), ["home"]);
        assert!(done.text.contains("[channels_config.home]"), "{}", done.text);
    }

    #[test]
    fn what_is_in_force_is_what_the_new_text_says() {
        let files = [
            FILE,
            "",
            "channels_config = {}\nagent = { max_turns = 3 }",
            "channels_config.work.bot_token = 't'\nagent.max_turns = 3",
            "[channels_config]\nwork = { bot_token = 't' }\n\n[grants.x]\nkv = '1MiB'\n",
            "\u{feff}# theirs\r\n[agent]\r\nsystem_prompt = \"\"\"a\r\nb\r\n\"\"\" # c\r\nmax_turns = 3\r\n",
        ];
        let changes = [
            json!({"agent.max_turns": 7, "provider.fallbacks": ["a/b"], "tools.policy": {"near.*": "ask"}}),
            json!({"channels_config.home": {"plugin": "x", "limits": {"n": 0.5}, "gone": null, "list": [1, null]}}),
            json!({"channels_config.home": {}, "channels_config.work": null}),
            json!({"channels_config.home.key": "a \"quoted\"\nline", "channels_config.it's odd.x": true}),
            json!({"channels_config.work.bot_token": null, "grants.x.http": []}),
            json!({"plugins_config.x": {"large": u64::MAX, "small": -1, "tiny": 1e-300, "huge": 1e300}}),
        ];
        for file in files {
            for change in &changes {
                let done = patch(parsed(file), change.as_object().expect("an object")).expect("valid");
                assert_eq!(parsed(&done.text).config, done.config, "{file}\n{change}\n{}", done.text);
                let marked = |text: &str| text.starts_with('\u{feff}');
                assert_eq!(marked(&done.text), marked(file));
                let bare = done.text.replace("\r\n", "").contains('\n');
                assert_eq!(
                    bare,
                    !file.contains('\r') && !done.text.is_empty(),
                    "lines end as they did: {:?}",
                    done.text
                );
            }
        }
    }
}
