//! The JSON Schema of a tool's arguments, compiled, and what calls do wrong by it. A schema comes from whoever gives the
//! tool: what it expands to is counted before it is compiled, and what a check takes before it is done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::thread;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};

use self::graph::Graph;
use self::steps::{Cost, MAX_BACKTRACKS, TooMuch};
use prx_base::error::{Error, Result};

mod graph;
mod pattern;
mod steps;

/// Size in bytes of the largest schema that is compiled.
pub(super) const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// Size in bytes of the largest compiled pattern.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// Bytes that matching one pattern may hold on to.
const MAX_MATCHING_BYTES: usize = 256 << 10;
/// Steps that a check may take: some tenths of a second.
const MAX_STEPS: u64 = 4_000_000;
/// Steps that a check may take on an async worker: a millisecond.
const MAX_STEPS_IN_PLACE: u64 = 10_000;
/// Schemas and values in one another that a check may go through, and on an async worker.
const MAX_DEPTH: u32 = 256;
const MAX_DEPTH_IN_PLACE: u32 = 32;
/// Steps of the longest check that says what is wrong, and not only that something is.
const MAX_STEPS_TOLD: u64 = 100_000;
/// Most checks apart from the async workers at a time.
const MAX_CHECKS: usize = 2;
/// The stack of a thread that goes down into schemas, in bytes. Only what is used of it is memory.
const STACK_BYTES: usize = 64 << 20;
/// Most violations that are listed at once.
const MAX_VIOLATIONS: usize = 5;
/// Length in bytes of the longest violation; one that would be longer does not repeat the value it is about.
const MAX_VIOLATION_BYTES: usize = 400;

/// A compiled schema, or why there is none.
#[derive(Debug)]
pub(super) struct Schema(Result<Arc<Compiled>, String>);

#[derive(Debug)]
struct Compiled {
    graph: Graph,
    validator: Validator,
}

impl Schema {
    /// Compiles a tool's parameters, unless that or checking anything against them takes too much. It computes, and goes
    /// down as deep as they do: see [`apart`].
    pub(super) fn new(parameters: &Value) -> Self {
        // A schema that breaks its compiler costs its tool, and no other.
        let compiled = catch_unwind(AssertUnwindSafe(|| Compiled::of(parameters)));
        Self(compiled.unwrap_or_else(|_| Err("compiling it broke off".into())).map(Arc::new))
    }

    /// None: anything fits.
    pub(super) fn unusable() -> Self {
        Self(Err(String::new()))
    }

    /// Why it could not be compiled, if that is so.
    pub(super) fn problem(&self) -> Option<&str> {
        self.0.as_ref().err().map(String::as_str)
    }

    /// States of the automata of its patterns, which are most of what it holds in memory.
    pub(super) fn states(&self) -> u64 {
        self.0.as_ref().map_or(0, |compiled| compiled.graph.states)
    }

    /// What is wrong with these arguments, and what would be right. A check that is more than small runs on a thread of
    /// its own, [`MAX_CHECKS`] at a time.
    ///
    /// # Errors
    /// The check would take too much.
    pub(super) async fn violations(&self, arguments: &Value) -> Result<Option<String>> {
        let Ok(compiled) = &self.0 else { return Ok(None) };
        if let Ok(cost) = steps::count(&compiled.graph, arguments, MAX_STEPS_IN_PLACE, MAX_DEPTH_IN_PLACE) {
            return Ok(compiled.violations(arguments, cost));
        }
        static CHECKS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_CHECKS)));
        let permit = CHECKS.clone().acquire_owned().await.map_err(Error::internal)?;
        let (compiled, arguments) = (compiled.clone(), arguments.clone());
        let check = move || {
            let _permit = permit;
            let cost = steps::count(&compiled.graph, &arguments, MAX_STEPS, MAX_DEPTH)?;
            Ok(compiled.violations(&arguments, cost))
        };
        apart(check).await?.map_err(|TooMuch| {
            Error::bad_request(format!(
                "The arguments can't be checked against the tool's parameters: that takes more than {MAX_STEPS} steps, or \
                 goes deeper than {MAX_DEPTH}; send less at once, or nest it less"
            ))
        })
    }
}

/// Runs something on a thread of its own, with room to go down into what is nested.
///
/// # Errors
/// There is no thread to be had, or it broke.
pub(super) async fn apart<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    let (done, result) = oneshot::channel();
    let thread = thread::Builder::new().name("schema".into()).stack_size(STACK_BYTES);
    // Whoever waited may be gone.
    thread.spawn(move || drop(done.send(work()))).map_err(Error::internal)?;
    result.await.map_err(Error::internal)
}

impl Compiled {
    /// Nothing outside of the schema is ever fetched.
    fn of(parameters: &Value) -> Result<Self, String> {
        if !parameters.is_object() {
            return Err("it is no JSON object".into());
        }
        let bytes = parameters.to_string().len();
        if bytes > MAX_SCHEMA_BYTES {
            return Err(format!("it has {bytes} bytes; {MAX_SCHEMA_BYTES} are the most"));
        }
        let graph = Graph::of(parameters)?;
        let backtracks = usize::try_from(MAX_BACKTRACKS).unwrap_or(usize::MAX);
        let patterns = PatternOptions::fancy_regex()
            .backtrack_limit(backtracks)
            .size_limit(MAX_PATTERN_BYTES)
            .dfa_size_limit(MAX_MATCHING_BYTES);
        let options = jsonschema::options().with_pattern_options(patterns).offline();
        // A value that is itself a pattern would be compiled to be checked.
        let options = options.with_format("regex", |_: &str| true);
        let validator = options.build(parameters).map_err(|error| cut(&error.to_string()).to_owned())?;
        Ok(Self { graph, validator })
    }

    /// What is wrong, by a check that takes so much.
    fn violations(&self, arguments: &Value, cost: Cost) -> Option<String> {
        if self.validator.is_valid(arguments) {
            return None;
        }
        if cost.steps.saturating_mul(cost.depth.into()) > MAX_STEPS_TOLD {
            return Some("there is too much of them to say where".into());
        }
        let violations: Vec<String> = self
            .validator
            .iter_errors(arguments)
            .take(MAX_VIOLATIONS)
            .map(|error| {
                let told = error.to_string();
                let told = if told.len() <= MAX_VIOLATION_BYTES { told } else { error.masked().to_string() };
                match error.instance_path().as_str() {
                    "" => cut(&told).to_owned(),
                    path => format!("at {}: {}", cut(path), cut(&told)),
                }
            })
            .collect();
        Some(violations.join("; "))
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_VIOLATION_BYTES)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(parameters: Value) -> Schema {
        Schema::new(&parameters)
    }

    async fn wrong(schema: &Schema, arguments: &Value) -> Option<String> {
        schema.violations(arguments).await.unwrap()
    }

    /// Definitions of which each refers twice to the next one, so many times.
    fn doubling(levels: usize, each: impl Fn(Value) -> Value) -> Value {
        let mut defs = serde_json::Map::new();
        for level in 0..levels {
            let next = json!({"$ref": format!("#/$defs/a{}", level + 1)});
            defs.insert(format!("a{level}"), each(next));
        }
        defs.insert(format!("a{levels}"), json!({"type": "string"}));
        Value::Object(defs)
    }

    #[tokio::test]
    async fn a_violation_names_its_place_and_what_would_do() {
        let place = json!({"type": "object", "properties": {"place": {}, "days": {"type": "integer", "maximum": 7}},
            "required": ["place"], "additionalProperties": false});
        let schema = schema(place);
        assert_eq!(wrong(&schema, &json!({"place": "Lisbon", "days": 2})).await, None);
        let wrong = wrong(&schema, &json!({"days": 9, "day": 1})).await.unwrap();
        assert!(wrong.contains("at /days: 9 is greater than the maximum of 7"), "{wrong}");
        assert!(wrong.contains("\"place\" is a required property") && wrong.contains("'day'"), "{wrong}");
    }

    #[tokio::test]
    async fn a_broken_schema_is_a_reason_and_no_panic() {
        let remote = json!({"$ref": "https://127.0.0.1:9/schema.json"});
        let file = json!({"$ref": "file:///etc/passwd"});
        let large = json!({"description": "x".repeat(MAX_SCHEMA_BYTES)});
        let nowhere = json!({"properties": {"x": {"$ref": "#/$defs/none"}}});
        for broken in [
            json!({"type": "objekt"}),
            json!([]),
            json!("x"),
            json!({"pattern": "("}),
            remote,
            file,
            large,
            nowhere,
        ] {
            let schema = schema(broken.clone());
            assert!(schema.problem().is_some_and(|problem| !problem.is_empty()), "{broken}");
            assert_eq!(wrong(&schema, &json!({})).await, None);
        }
        let unused = schema(json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "type": "object"}));
        assert_eq!(unused.problem(), None);
        let older = schema(json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}));
        assert_eq!(older.problem(), None);
    }

    #[test]
    fn what_expands_beyond_bounds_is_refused() {
        let twice = |keyword: &'static str| move |next: Value| json!({keyword: [next.clone(), next]});
        let guarded = |next: Value| json!({"if": next.clone(), "then": next.clone(), "else": next});
        let dependent = |next: Value| json!({"dependentSchemas": {"x": next.clone(), "y": next}});
        let patterns: serde_json::Map<String, Value> =
            (0..2_000).map(|n| (format!("^\\w{{150}}{n}$"), json!({}))).collect();
        let mut deep = json!({});
        for _ in 0..120 {
            deep = json!({"not": {"not": deep}});
        }
        let refused = [
            json!({"not": {"$ref": "#/$defs/a0"}, "$defs": doubling(40, twice("anyOf"))}),
            json!({"allOf": [{"$ref": "#/$defs/a0"}], "$defs": doubling(64, twice("oneOf"))}),
            json!({"$ref": "#/$defs/a0", "$defs": doubling(20, guarded)}),
            json!({"$ref": "#/$defs/a0", "$defs": doubling(30, dependent)}),
            json!({"$ref": "#/$defs/a0", "unevaluatedProperties": false, "$defs": doubling(13, twice("allOf"))}),
            json!({"patternProperties": patterns}),
            json!({"properties": {"x": {"pattern": "((a{100}){100}){100}"}}}),
            json!({"$ref": "#"}),
            json!({"properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}),
            json!({"$dynamicRef": "#x", "$defs": {"a": {"$dynamicAnchor": "x"}, "b": {"$dynamicAnchor": "x"}}}),
            json!({"enum": (0..100_000).collect::<Vec<_>>()}),
            deep,
        ];
        for schema in refused {
            let problem = Schema::new(&schema).problem().map(str::to_owned);
            let shown = schema.to_string();
            assert!(problem.is_some(), "{}", &shown[..shown.len().min(300)]);
        }
    }

    #[tokio::test]
    async fn what_looks_into_the_value_each_time_is_let_through() {
        let tree = schema(json!({
            "type": "object",
            "properties": {"name": {"type": "string"}, "below": {"type": "array", "items": {"$ref": "#"}}},
            "additionalProperties": false,
        }));
        assert_eq!(tree.problem(), None);
        assert_eq!(wrong(&tree, &json!({"below": [{"name": "a"}, {"below": [{}]}]})).await, None);
        assert!(wrong(&tree, &json!({"below": [{"below": [{"name": 5}]}]})).await.is_some());
        let anything = schema(json!({"$ref": "#/$defs/any", "$defs": {"any": {"anyOf": [
            {"type": ["string", "number", "boolean", "null"]},
            {"type": "array", "items": {"$ref": "#/$defs/any"}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/any"}},
        ]}}}));
        assert_eq!(anything.problem(), None);
        assert_eq!(wrong(&anything, &json!({"a": [1, {"b": [[[["c"]]]]}]})).await, None);
        let email = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$";
        let form = schema(json!({"properties": {"to": {"type": "string", "pattern": email}}}));
        assert_eq!(form.problem(), None);
        assert_eq!(wrong(&form, &json!({"to": "ada@example.org"})).await, None);
        assert!(wrong(&form, &json!({"to": "ada..b@example.org"})).await.is_some());
        let id = json!({"$id": "https://example.org/tool", "$defs": {"x": {"$anchor": "here", "type": "string"}},
            "properties": {"x": {"$ref": "#here"}, "y": {"$ref": "https://example.org/tool#/$defs/x"}}});
        assert!(wrong(&schema(id), &json!({"y": 5})).await.is_some());
    }

    #[tokio::test]
    async fn a_check_that_would_take_too_much_is_not_begun() {
        let twice = |next: Value| json!({"allOf": [{"properties": {"x": next.clone()}}, {"properties": {"x": next}}]});
        let deep = schema(json!({"$ref": "#/$defs/a0", "$defs": doubling(40, twice)}));
        assert_eq!(deep.problem(), None, "as long as the value is shallow there is nothing to it");
        let mut value = json!(5);
        for _ in 0..10 {
            value = json!({"x": value});
        }
        assert_eq!(wrong(&deep, &value).await, None);
        for _ in 0..40 {
            value = json!({"x": value});
        }
        let refused = deep.violations(&value).await.unwrap_err().to_string();
        assert!(refused.contains("steps"), "{refused}");

        let unique =
            schema(json!({"properties": {"x": {"uniqueItems": true, "items": {"type": "integer"}}}}));
        let many: Vec<u32> = (0..100_000).collect();
        assert_eq!(wrong(&unique, &json!({"x": many})).await, None);
        let texts = vec!["x"; 100_000];
        let told = wrong(&unique, &json!({"x": texts})).await.unwrap();
        assert!(told.len() < 3_000, "{} bytes", told.len());
    }

    #[tokio::test]
    async fn a_slow_pattern_ends() {
        let slow = schema(json!({"properties": {"x": {"pattern": "^(a+)+(?=b)$"}}}));
        assert!(wrong(&slow, &json!({"x": "a".repeat(64)})).await.is_some());
        let many: serde_json::Map<String, Value> =
            (0..100).map(|n| (format!("{}{n}", "a".repeat(60)), json!(n))).collect();
        let names =
            schema(json!({"patternProperties": {"^(a+)+(?=b)$": {}, "^(a|a)*(?!a)c$": {"type": "string"}}}));
        assert_eq!(names.problem(), None);
        let _ = names.violations(&Value::Object(many)).await;
    }
}
