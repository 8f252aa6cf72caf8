//! A schema as a graph: which schemas it applies to the same value, and which to the values in it. What a validator
//! would do is counted on it, before there is one.

use std::collections::{BTreeMap, HashMap, HashSet};

use referencing::{Draft, Registry, Resolver, uri};
use serde_json::{Map, Value};

use super::pattern;

/// Most schemas in one, those in it included.
const MAX_SCHEMAS: usize = 2_048;
/// Most keywords of all of them.
const MAX_KEYWORDS: usize = 16_384;
/// Most schemas that one applies to the same value, references followed and each counted as often as it is applied.
const MAX_EXPANSION: u64 = 4_096;
/// The same, summed over all schemas in it.
const MAX_EXPANSIONS: u64 = 65_536;
/// Most schemas one in another, references followed.
const MAX_DEPTH: u32 = 200;
/// Most states of the automata of all patterns.
pub(super) const MAX_STATES: u64 = 65_536;
/// The base of references in a schema that doesn't name itself.
const BASE_URI: &str = "json-schema:///";

/// The schemas in one; the first is the whole.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) schemas: Vec<Node>,
    /// States of the automata of all patterns.
    pub(super) states: u64,
}

/// One schema. Other ones are named by their places in the graph.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Steps that its keywords take with any value.
    pub(super) steps: u64,
    /// Steps that they take with a byte of a text, in sixteenths.
    pub(super) per_byte: u64,
    /// Patterns that are tried with a text, and tried again.
    pub(super) tried: u64,
    /// It compares the whole value with something, or the parts of it with each other.
    pub(super) compares: bool,
    /// Applied to the same value.
    pub(super) here: Vec<u32>,
    /// How often those are gone through.
    pub(super) rounds: u64,
    /// Applied to the property of that name.
    pub(super) properties: BTreeMap<String, u32>,
    /// Applied to any property.
    pub(super) every_property: Vec<u32>,
    /// Steps that finding out which of them takes, for a byte of its name, in sixteenths.
    pub(super) per_name_byte: u64,
    /// Patterns that are tried with its name, and tried again.
    pub(super) tried_with_name: u64,
    /// Applied to the names of properties.
    pub(super) names: Vec<u32>,
    /// Applied to the item at that place.
    pub(super) items: Vec<u32>,
    /// Applied to any item.
    pub(super) every_item: Vec<u32>,
}

impl Graph {
    /// The graph of a schema that is within bounds.
    ///
    /// # Errors
    /// What there is too much of, and how much there may be; or a reference leads nowhere.
    pub(super) fn of(schema: &Value) -> Result<Self, String> {
        let draft = Draft::default().detect(schema);
        let resource = draft.create_resource_ref(schema);
        let base = resource.id().unwrap_or(BASE_URI);
        let base = uri::from_str(base).map_err(|error| error.to_string())?;
        // The retriever by default fetches nothing.
        let registry = Registry::new().draft(draft).add(base.as_str(), resource);
        let registry = registry.and_then(|registry| registry.prepare()).map_err(|error| error.to_string())?;
        let mut reader = Reader { survey: Survey::of(schema)?, ..Reader::default() };
        reader.enter(schema, registry.resolver(base), draft)?;
        while let Some((at, schema, resolver, draft)) = reader.open.pop() {
            reader.read(at, schema, &resolver, draft)?;
        }
        let graph = reader.graph;
        at_most("states of its patterns", graph.states, MAX_STATES)?;
        Measure::of(&graph)?;
        Ok(graph)
    }
}

fn at_most(what: &str, found: u64, most: u64) -> Result<(), String> {
    match found <= most {
        true => Ok(()),
        false if found == u64::MAX => {
            Err(format!("it has more {what} than can be counted; {most} are the most"))
        }
        false => Err(format!("it has {found} {what}; {most} are the most: make it simpler")),
    }
}

/// What is known of a document before it is read: where its values are, and whether what a reference means depends on
/// the way to it.
#[derive(Default)]
struct Survey {
    values: HashSet<*const Value>,
    dynamic: bool,
}

impl Survey {
    fn of(document: &Value) -> Result<Self, String> {
        let (mut survey, mut open, mut anchors) = (Self::default(), vec![document], HashSet::new());
        while let Some(value) = open.pop() {
            survey.values.insert(value);
            match value {
                Value::Array(items) => open.extend(items),
                Value::Object(map) => {
                    open.extend(map.values());
                    for keyword in ["$dynamicAnchor", "$recursiveAnchor"] {
                        let Some(anchor) = map.get(keyword) else { continue };
                        survey.dynamic = true;
                        if !anchors.insert(anchor.to_string()) {
                            return Err(format!("it has {keyword} {anchor} more than once; use $ref"));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(survey)
    }
}

#[derive(Default)]
struct Reader<'r> {
    graph: Graph,
    survey: Survey,
    keywords: usize,
    known: HashMap<*const Value, u32>,
    open: Vec<(u32, &'r Value, Resolver<'r>, Draft)>,
}

impl<'r> Reader<'r> {
    /// The place of a schema, which is read if it was not before.
    fn enter(&mut self, schema: &'r Value, resolver: Resolver<'r>, draft: Draft) -> Result<u32, String> {
        if let Some(known) = self.known.get(&std::ptr::from_ref(schema)) {
            return Ok(*known);
        }
        at_most("schemas in it", self.graph.schemas.len() as u64 + 1, MAX_SCHEMAS as u64)?;
        let at = u32::try_from(self.graph.schemas.len()).unwrap_or(u32::MAX);
        self.known.insert(schema, at);
        self.graph.schemas.push(Node { rounds: 1, ..Node::default() });
        let within = resolver.in_subresource(draft.create_resource_ref(schema));
        self.open.push((at, schema, within.map_err(|error| error.to_string())?, draft));
        Ok(at)
    }

    fn read(
        &mut self,
        at: u32,
        schema: &'r Value,
        resolver: &Resolver<'r>,
        draft: Draft,
    ) -> Result<(), String> {
        let Value::Object(keywords) = schema else { return Ok(()) };
        self.keywords += keywords.len();
        at_most("keywords", self.keywords as u64, MAX_KEYWORDS as u64)?;
        let mut node = Node { rounds: 1, steps: 1 + keywords.len() as u64, ..Node::default() };
        for (keyword, value) in keywords {
            self.assert(&mut node, keyword, value);
            for (place, schema) in applied(keyword, value) {
                let schema = self.enter(schema, resolver.clone(), draft)?;
                node.apply(place, schema);
            }
            if matches!(keyword.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef")
                && let Some(reference) = value.as_str()
            {
                node.here.push(self.follow(reference, resolver)?);
            }
        }
        if keywords.contains_key("unevaluatedProperties") || keywords.contains_key("unevaluatedItems") {
            node.rounds = 2 + conditions(keywords);
        }
        self.graph.schemas[at as usize] = node;
        Ok(())
    }

    fn follow(&mut self, reference: &str, resolver: &Resolver<'r>) -> Result<u32, String> {
        let target = resolver.lookup(reference).map_err(|error| error.to_string())?;
        let (schema, resolver, draft) = target.into_inner();
        if self.survey.dynamic && !self.survey.values.contains(&std::ptr::from_ref(schema)) {
            return Err(format!("it has dynamic anchors, and refers to {reference} outside of it"));
        }
        self.enter(schema, resolver, draft)
    }

    /// Counts what a keyword does by itself.
    fn assert(&mut self, node: &mut Node, keyword: &str, value: &Value) {
        match keyword {
            "enum" | "const" => {
                node.steps += size(value);
                node.compares = true;
            }
            "uniqueItems" => node.compares = true,
            "required" | "dependentRequired" | "dependencies" => node.steps += size(value),
            "format" | "minLength" | "maxLength" | "contentMediaType" | "contentEncoding" => {
                node.per_byte += 16
            }
            "pattern" => {
                let size = self.measure(value.as_str().unwrap_or_default());
                node.per_byte = node.per_byte.saturating_add(size.states);
                node.tried += u64::from(size.backtracks);
            }
            "patternProperties" => {
                for pattern in value.as_object().into_iter().flat_map(Map::keys) {
                    let size = self.measure(pattern);
                    node.per_name_byte = node.per_name_byte.saturating_add(size.states);
                    node.tried_with_name += u64::from(size.backtracks);
                }
            }
            _ => {}
        }
    }

    fn measure(&mut self, pattern: &str) -> pattern::Size {
        let size = pattern::measure(pattern);
        self.graph.states = self.graph.states.saturating_add(size.states);
        size
    }
}

/// Where a schema is applied.
enum Place<'a> {
    Here,
    Property(&'a str),
    EveryProperty,
    Names,
    Item,
    EveryItem,
}

impl Node {
    fn apply(&mut self, place: Place<'_>, schema: u32) {
        match place {
            Place::Here => self.here.push(schema),
            Place::Property(name) => _ = self.properties.insert(name.to_owned(), schema),
            Place::EveryProperty => self.every_property.push(schema),
            Place::Names => self.names.push(schema),
            Place::Item => self.items.push(schema),
            Place::EveryItem => self.every_item.push(schema),
        }
    }

    /// Every schema that it applies to something.
    fn all(&self) -> impl Iterator<Item = u32> {
        let lists = [&self.here, &self.every_property, &self.names, &self.items, &self.every_item];
        lists.into_iter().flatten().copied().chain(self.properties.values().copied())
    }
}

/// The schemas that a keyword holds, in any draft, and where it applies them.
fn applied<'a>(keyword: &str, value: &'a Value) -> Vec<(Place<'a>, &'a Value)> {
    let list = |place: fn() -> Place<'a>| {
        value.as_array().into_iter().flatten().map(move |schema| (place(), schema)).collect()
    };
    let map = |place: fn(&'a str) -> Place<'a>| {
        let entries = value.as_object().into_iter().flatten();
        entries.map(move |(name, schema)| (place(name), schema)).collect()
    };
    match keyword {
        "allOf" | "anyOf" | "oneOf" => list(|| Place::Here),
        "not" | "if" | "then" | "else" => vec![(Place::Here, value)],
        "dependentSchemas" | "dependencies" => map(|_| Place::Here),
        "properties" => map(Place::Property),
        "patternProperties" => map(|_| Place::EveryProperty),
        "additionalProperties" | "unevaluatedProperties" => vec![(Place::EveryProperty, value)],
        "propertyNames" => vec![(Place::Names, value)],
        "prefixItems" => list(|| Place::Item),
        "items" if value.is_array() => list(|| Place::Item),
        "items" | "additionalItems" | "contains" | "unevaluatedItems" => vec![(Place::EveryItem, value)],
        _ => Vec::new(),
    }
}

/// Conditions under which a schema may have looked at a property, each of which is tried for itself.
fn conditions(keywords: &Map<String, Value>) -> u64 {
    let lists =
        ["anyOf", "oneOf", "dependentSchemas"].into_iter().filter_map(|keyword| keywords.get(keyword));
    let each = |list: &Value| match list {
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    let listed: usize = lists.map(each).sum();
    (listed + usize::from(keywords.contains_key("if"))).min(64) as u64
}

/// How many values there are in one, itself included; a long text counts for several.
pub(super) fn size(value: &Value) -> u64 {
    let (mut size, mut open) = (0, vec![value]);
    while let Some(value) = open.pop() {
        size += 1;
        match value {
            Value::String(text) => size += text.len() as u64 / 64,
            Value::Array(items) => open.extend(items),
            Value::Object(map) => {
                size += map.keys().map(|key| key.len() as u64 / 64).sum::<u64>();
                open.extend(map.values());
            }
            _ => {}
        }
    }
    size
}

/// How far the schemas of a graph expand, each counted once and remembered.
struct Measure<'g> {
    graph: &'g Graph,
    /// Zero while it is counted.
    expansions: HashMap<u32, u64>,
    depths: HashMap<u32, u32>,
}

impl<'g> Measure<'g> {
    fn of(graph: &'g Graph) -> Result<(), String> {
        let mut measure = Self { graph, expansions: HashMap::new(), depths: HashMap::new() };
        let mut sum = 0_u64;
        for at in (0_u32..).take(graph.schemas.len()) {
            let expansion = measure.expansion(at)?;
            at_most("schemas for one value, references followed", expansion, MAX_EXPANSION)?;
            sum = sum.saturating_add(expansion);
        }
        at_most("schemas for its values, references followed", sum, MAX_EXPANSIONS)?;
        at_most("schemas one in another, references followed", measure.depth(0).into(), MAX_DEPTH.into())
    }

    /// How many schemas are applied to a value, with this one.
    fn expansion(&mut self, at: u32) -> Result<u64, String> {
        match self.expansions.get(&at) {
            Some(0) => {
                return Err("it refers to itself for the same value, which has no end; a reference to itself may stand \
                            below properties or items"
                    .into());
            }
            Some(known) => return Ok(*known),
            None => {}
        }
        self.expansions.insert(at, 0);
        let graph = self.graph;
        let node = &graph.schemas[at as usize];
        let mut sum = 0_u64;
        for schema in &node.here {
            sum = sum.saturating_add(self.expansion(*schema)?);
        }
        let expansion = sum.saturating_mul(node.rounds).saturating_add(1);
        self.expansions.insert(at, expansion);
        Ok(expansion)
    }

    /// How many schemas are one in another, with this one. What leads back to one above it is not followed.
    fn depth(&mut self, at: u32) -> u32 {
        if let Some(known) = self.depths.get(&at) {
            return *known;
        }
        self.depths.insert(at, 0);
        let graph = self.graph;
        let below = graph.schemas[at as usize].all().map(|schema| self.depth(schema)).max();
        let depth = below.unwrap_or(0).saturating_add(1);
        self.depths.insert(at, depth);
        depth
    }
}
