//! What checking one value against a schema takes, counted before it is done: each pair of a schema and a value in it
//! once, however often a validator would come by.

use std::collections::HashMap;

use serde_json::Value;

use super::graph::{Graph, Node, size};

/// Steps of a pattern that is tried, and tried again, before it counts as undecided.
pub(super) const MAX_BACKTRACKS: u64 = 10_000;
/// Runs of a validator that has met an undecided pattern.
const MAX_RUNS: u64 = 64;

/// What a check takes at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Steps. One is a keyword with a value, or about as much.
    pub(super) steps: u64,
    /// Schemas and values in one another.
    pub(super) depth: u32,
}

/// The check takes more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch;

/// Counts what checking a value takes, as far as `most` and in as much time.
///
/// # Errors
/// It takes more.
pub(super) fn count(graph: &Graph, value: &Value, most: u64, max_depth: u32) -> Result<Cost, TooMuch> {
    let counter =
        Counter { graph, most, max_depth, looks: 0, tries: 0, values: HashMap::new(), sizes: HashMap::new() };
    counter.all(value)
}

struct Counter<'a> {
    graph: &'a Graph,
    most: u64,
    max_depth: u32,
    /// Steps of counting.
    looks: u64,
    /// Patterns that may be tried in vain.
    tries: u64,
    values: HashMap<(u32, *const Value), Cost>,
    sizes: HashMap<*const Value, u64>,
}

impl Counter<'_> {
    fn all(mut self, value: &Value) -> Result<Cost, TooMuch> {
        let Cost { steps, depth } = self.visit(0, value, 0)?;
        // A run goes through all of it again, but not through the patterns.
        let runs = if self.tries == 0 { 1 } else { MAX_RUNS };
        let tried = self.tries.saturating_mul(MAX_BACKTRACKS);
        let steps = steps.saturating_mul(runs).saturating_add(tried);
        if steps > self.most { Err(TooMuch) } else { Ok(Cost { steps, depth }) }
    }

    fn visit(&mut self, at: u32, value: &Value, depth: u32) -> Result<Cost, TooMuch> {
        if let Some(known) = self.values.get(&(at, std::ptr::from_ref(value))) {
            return Ok(*known);
        }
        self.look(1)?;
        if depth >= self.max_depth {
            return Err(TooMuch);
        }
        let graph = self.graph;
        let node = &graph.schemas[at as usize];
        let mut cost = Cost { steps: node.steps.saturating_add(self.compared(node, value)?), depth: 0 };
        for schema in &node.here {
            let below = self.visit(*schema, value, depth + 1)?;
            cost.add(Cost { steps: below.steps.saturating_mul(node.rounds), ..below });
        }
        match value {
            Value::String(text) => cost.steps = cost.steps.saturating_add(self.text(node, text)),
            Value::Array(items) => {
                for (item, place) in items.iter().zip(0..) {
                    self.look(1)?;
                    for schema in node.items.get(place).iter().copied().chain(&node.every_item) {
                        cost.add(self.visit(*schema, item, depth + 1)?);
                    }
                }
            }
            Value::Object(map) => {
                for (name, value) in map {
                    self.look(1 + node.names.len() as u64)?;
                    cost.steps = cost.steps.saturating_add(1 + matching(node.per_name_byte, name));
                    self.tries += node.tried_with_name * tries(name);
                    for schema in node.properties.get(name).into_iter().chain(&node.every_property) {
                        cost.add(self.visit(*schema, value, depth + 1)?);
                    }
                    for schema in &node.names {
                        cost.steps = cost.steps.saturating_add(self.name(*schema, name)?);
                    }
                }
            }
            _ => {}
        }
        cost.depth += 1;
        if cost.steps > self.most {
            return Err(TooMuch);
        }
        self.values.insert((at, value), cost);
        Ok(cost)
    }

    /// Steps that a schema takes with the name of a property.
    fn name(&mut self, at: u32, name: &str) -> Result<u64, TooMuch> {
        self.look(1)?;
        let graph = self.graph;
        let node = &graph.schemas[at as usize];
        let mut steps = node.steps.saturating_add(self.text(node, name));
        for schema in &node.here {
            steps = steps.saturating_add(self.name(*schema, name)?.saturating_mul(node.rounds));
        }
        Ok(steps)
    }

    fn text(&mut self, node: &Node, text: &str) -> u64 {
        self.tries += node.tried * tries(text);
        matching(node.per_byte, text)
    }

    /// Steps of comparing a value as a whole.
    fn compared(&mut self, node: &Node, value: &Value) -> Result<u64, TooMuch> {
        if !node.compares {
            return Ok(0);
        }
        let known = self.sizes.get(&std::ptr::from_ref(value)).copied();
        let size = known.unwrap_or_else(|| size(value));
        if known.is_none() {
            self.look(size)?;
            self.sizes.insert(value, size);
        }
        Ok(size.saturating_mul(4))
    }

    fn look(&mut self, more: u64) -> Result<(), TooMuch> {
        self.looks = self.looks.saturating_add(more);
        if self.looks > self.most { Err(TooMuch) } else { Ok(()) }
    }
}

impl Cost {
    fn add(&mut self, more: Self) {
        self.steps = self.steps.saturating_add(more.steps);
        self.depth = self.depth.max(more.depth);
    }
}

/// Steps of matching a text, at so many sixteenths for a byte.
fn matching(per_byte: u64, text: &str) -> u64 {
    per_byte.saturating_mul(text.len() as u64 + 1) / 16
}

/// How often a pattern may be tried in vain with a text, where each try goes on for as long as the text is.
fn tries(text: &str) -> u64 {
    1 + text.len() as u64 / 256
}
