//! The schema of a tool's arguments as servers write it, and as models' vendors take it.

use serde_json::{Map, Value, json};

/// How deep schemas in one another are mended.
const MAX_DEPTH: usize = 32;
/// Keywords whose value is a schema, or a list of them.
const SCHEMAS: [&str; 13] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
];
/// Keywords whose value has schemas by name.
const NAMED: [&str; 5] = ["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];
/// A bound of draft 4 that says whether another one is part of its range, and that other one.
const BOUNDS: [(&str, &str); 2] = [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")];

/// A tool's parameters, mended as far as that changes nothing about what fits; or why they are none.
pub(super) fn parameters(given: Option<Value>) -> Result<Value, String> {
    let mut schema = match given {
        None | Some(Value::Null | Value::Bool(true)) => Map::new(),
        Some(Value::Object(schema)) => schema,
        Some(other) => {
            return Err(format!("its inputSchema is {}; it takes a schema of an object", kind(&other)));
        }
    };
    match schema.get("type") {
        None | Some(Value::Null) => drop(schema.insert("type".into(), "object".into())),
        Some(Value::String(kind)) if kind == "object" => {}
        Some(Value::Array(kinds)) if kinds.iter().any(|kind| kind == "object") => {
            schema.insert("type".into(), "object".into());
        }
        Some(other) => {
            return Err(format!(
                "its inputSchema is for the type {other}; the arguments of a tool are an object"
            ));
        }
    }
    let by_draft_4 =
        schema.get("$schema").and_then(Value::as_str).is_some_and(|draft| draft.contains("draft-04"));
    if by_draft_4 {
        schema.remove("$schema");
    }
    mend(&mut schema, 0);
    Ok(Value::Object(schema))
}

/// Writes what draft 4 said differently as later drafts do.
fn mend(schema: &mut Map<String, Value>, depth: usize) {
    if depth == MAX_DEPTH {
        return;
    }
    for (exclusive, bound) in BOUNDS {
        match schema.get(exclusive) {
            Some(Value::Bool(true)) => match schema.remove(bound) {
                Some(value) => drop(schema.insert(exclusive.into(), value)),
                None => drop(schema.remove(exclusive)),
            },
            Some(Value::Bool(false)) => drop(schema.remove(exclusive)),
            _ => {}
        }
    }
    for key in SCHEMAS {
        match schema.get_mut(key) {
            Some(Value::Object(inner)) => mend(inner, depth + 1),
            Some(Value::Array(all)) => {
                all.iter_mut().filter_map(Value::as_object_mut).for_each(|inner| mend(inner, depth + 1));
            }
            _ => {}
        }
    }
    for key in NAMED {
        let named = schema.get_mut(key).and_then(Value::as_object_mut).into_iter();
        named
            .flat_map(Map::values_mut)
            .filter_map(Value::as_object_mut)
            .for_each(|inner| mend(inner, depth + 1));
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::String(_) => "a text".into(),
        other => other.to_string(),
    }
}

/// The schema of a tool that takes nothing in particular.
pub(super) fn any_object() -> Value {
    json!({ "type": "object" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_what_is_told() {
        for given in [
            None,
            Some(Value::Null),
            Some(json!(true)),
            Some(json!({})),
            Some(json!({"type": ["null", "object"]})),
        ] {
            assert_eq!(parameters(given), Ok(any_object()));
        }
        let drafted = json!({"$schema": "http://json-schema.org/draft-04/schema#", "type": "object", "properties": {
            "exclusiveMinimum": {"type": "integer", "minimum": 1, "exclusiveMinimum": true},
            "list": {"items": [{"maximum": 5, "exclusiveMaximum": false}, {"exclusiveMaximum": 7}, true]},
            "open": {"exclusiveMinimum": true},
        }});
        let mended = json!({"type": "object", "properties": {
            "exclusiveMinimum": {"type": "integer", "exclusiveMinimum": 1},
            "list": {"items": [{"maximum": 5}, {"exclusiveMaximum": 7}, true]},
            "open": {},
        }});
        assert_eq!(parameters(Some(drafted)), Ok(mended));
    }

    #[test]
    fn what_cant_be_meant_is_a_problem() {
        let problem = |given: Value| parameters(Some(given)).unwrap_err();
        insta::assert_snapshot!(problem(json!({"type": "string"})), @r#"its inputSchema is for the type "string"; the arguments of a tool are an object"#);
        insta::assert_snapshot!(problem(json!([])), @"its inputSchema is a list; it takes a schema of an object");
        insta::assert_snapshot!(problem(json!(false)), @"its inputSchema is false; it takes a schema of an object");
    }
}
