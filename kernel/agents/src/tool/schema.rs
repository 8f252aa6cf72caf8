//! What a tool takes, compiled once and held against every call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Largest schema that is read.
const LARGEST: usize = 256 << 10;
/// Bounds for a pattern that was made to be slow.
const BACKTRACKS: usize = 50_000;
const PATTERN_BYTES: usize = 1 << 20;
/// Violations that are told at once.
const TOLD: usize = 5;
/// Longest violation that repeats the value it is about.
const LONGEST: usize = 400;
/// Schemas that are kept, beyond which those of tools that are gone are thrown out with the rest.
const KEPT: usize = 4096;

/// A tool's schema, ready for use.
pub(super) struct Schema {
    /// As the tool wrote it.
    parameters: Value,
    validator: Result<Validator, String>,
}

/// The schemas of all tools, by name. The lock is held to look or to put, never across an await.
#[derive(Clone, Default)]
pub(super) struct Schemas(Arc<Mutex<HashMap<String, Arc<Schema>>>>);

impl Schemas {
    /// A tool's schema, compiled when the tool came or changed.
    pub(super) fn of(&self, tool: &str, parameters: &Value) -> Arc<Schema> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(tool).filter(|known| known.parameters == *parameters) {
            return known.clone();
        }
        let schema = Arc::new(Schema::new(parameters.clone()));
        let mut all = lock();
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(tool.to_owned(), schema.clone());
        schema
    }
}

impl Schema {
    fn new(parameters: Value) -> Self {
        let validator = compile(&parameters);
        Self { parameters, validator }
    }

    /// Why calls can't be held against it, if that is so.
    pub(super) fn problem(&self) -> Option<&str> {
        self.validator.as_ref().err().map(String::as_str)
    }

    /// What is wrong with these arguments, and what would be right.
    pub(super) fn violations(&self, arguments: &Value) -> Option<String> {
        let validator = self.validator.as_ref().ok()?;
        let violations: Vec<String> = validator
            .iter_errors(arguments)
            .take(TOLD)
            .map(|error| {
                let told = error.to_string();
                let told = if told.len() <= LONGEST { told } else { error.masked().to_string() };
                match error.instance_path().as_str() {
                    "" => told,
                    path => format!("at {path}: {told}"),
                }
            })
            .collect();
        (!violations.is_empty()).then(|| violations.join("; "))
    }
}

/// Nothing outside of the schema is ever fetched.
fn compile(parameters: &Value) -> Result<Validator, String> {
    if !parameters.is_object() {
        return Err("it is no JSON object".into());
    }
    if parameters.to_string().len() > LARGEST {
        return Err(format!("it has more than {LARGEST} bytes"));
    }
    let patterns = PatternOptions::fancy_regex().backtrack_limit(BACKTRACKS).size_limit(PATTERN_BYTES);
    let options = jsonschema::options().with_pattern_options(patterns).offline();
    options.build(parameters).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(parameters: Value) -> Schema {
        Schema::new(parameters)
    }

    #[test]
    fn a_violation_names_its_place_and_what_would_do() {
        let place = json!({"type": "object", "properties": {"place": {}, "days": {"type": "integer", "maximum": 7}},
            "required": ["place"], "additionalProperties": false});
        let schema = schema(place);
        assert_eq!(schema.violations(&json!({"place": "Lisbon", "days": 2})), None);
        let wrong = schema.violations(&json!({"days": 9, "day": 1})).unwrap();
        assert!(wrong.contains("at /days: 9 is greater than the maximum of 7"), "{wrong}");
        assert!(wrong.contains("\"place\" is a required property") && wrong.contains("'day'"), "{wrong}");
    }

    #[test]
    fn a_broken_schema_is_a_reason_and_no_panic() {
        let remote = json!({"$ref": "https://127.0.0.1:9/schema.json"});
        let file = json!({"$ref": "file:///etc/passwd"});
        let large = json!({"description": "x".repeat(LARGEST)});
        for broken in
            [json!({"type": "objekt"}), json!([]), json!("x"), json!({"pattern": "("}), remote, file, large]
        {
            let schema = schema(broken.clone());
            assert!(schema.problem().is_some_and(|problem| !problem.is_empty()), "{broken}");
            assert_eq!(schema.violations(&json!({})), None);
        }
        let endless = schema(json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "type": "object"}));
        assert_eq!(endless.problem(), None);
        let older = schema(json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}));
        assert_eq!(older.problem(), None);
    }

    #[test]
    fn a_slow_pattern_ends() {
        let slow = schema(json!({"properties": {"x": {"pattern": "^(a+)+(?=b)$"}}}));
        assert!(slow.violations(&json!({"x": "a".repeat(64)})).is_some());
    }

    #[test]
    fn schemas_are_compiled_once_until_they_change() {
        let schemas = Schemas::default();
        let (first, other) = (json!({"type": "object"}), json!({"type": "object", "minProperties": 1}));
        let compiled = schemas.of("tool", &first);
        assert!(Arc::ptr_eq(&compiled, &schemas.of("tool", &first)));
        assert!(schemas.of("tool", &other).violations(&json!({})).is_some());
    }
}
