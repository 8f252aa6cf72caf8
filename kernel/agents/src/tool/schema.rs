//! The JSON Schema of a tool's arguments, compiled, and what calls do wrong by it.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Size in bytes of the largest schema that is compiled.
const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// How often a pattern may backtrack before it counts as no match.
const MAX_BACKTRACKS: usize = 50_000;
/// Size in bytes of the largest compiled pattern.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// Most violations that are listed at once.
const MAX_VIOLATIONS: usize = 5;
/// Length in bytes of the longest violation that repeats the value it is about.
const MAX_VIOLATION_BYTES: usize = 400;

/// A compiled schema, or why there is none.
#[derive(Debug)]
pub(super) struct Schema(Result<Validator, String>);

impl Schema {
    /// Compiles a tool's parameters.
    pub(super) fn new(parameters: &Value) -> Self {
        Self(compile(parameters))
    }

    /// Why it could not be compiled, if that is so.
    pub(super) fn problem(&self) -> Option<&str> {
        self.0.as_ref().err().map(String::as_str)
    }

    /// What is wrong with these arguments, and what would be right.
    pub(super) fn violations(&self, arguments: &Value) -> Option<String> {
        let validator = self.0.as_ref().ok()?;
        let violations: Vec<String> = validator
            .iter_errors(arguments)
            .take(MAX_VIOLATIONS)
            .map(|error| {
                let told = error.to_string();
                let told = if told.len() <= MAX_VIOLATION_BYTES { told } else { error.masked().to_string() };
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
    if parameters.to_string().len() > MAX_SCHEMA_BYTES {
        return Err(format!("it has more than {MAX_SCHEMA_BYTES} bytes"));
    }
    let patterns =
        PatternOptions::fancy_regex().backtrack_limit(MAX_BACKTRACKS).size_limit(MAX_PATTERN_BYTES);
    let options = jsonschema::options().with_pattern_options(patterns).offline();
    options.build(parameters).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(parameters: Value) -> Schema {
        Schema::new(&parameters)
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
        let large = json!({"description": "x".repeat(MAX_SCHEMA_BYTES)});
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
}
