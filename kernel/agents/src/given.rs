//! Tools and options that come with a request to a model, from an agent or from a caller of the API: what vendors take of them,
//! and what is the kernel's own.

use std::collections::BTreeSet;

use prx_host::bindings::common::ToolSpec;
use serde_json::{Map, Value};

/// Longest name of a tool.
const MAX_NAME: usize = 64;
/// Keys of options that are the kernel's: who is asked, and what.
const KERNEL_OPTIONS: [&str; 5] = ["model", "messages", "tools", "system", "stream"];

/// What is wrong with one of several tools, each with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolFlaw<'a> {
    /// The name is not 1 to 64 of `a-z A-Z 0-9 _ -`.
    Name(&'a str),
    /// Two have it.
    Twice(&'a str),
    /// The parameters are no JSON Schema of an object: vendors take that, and nothing else at its top.
    Schema(&'a str),
}

/// The first thing that is wrong with tools.
pub fn tool_flaw(tools: &[ToolSpec]) -> Option<ToolFlaw<'_>> {
    let mut names = BTreeSet::new();
    tools.iter().find_map(|tool| {
        let name = tool.name.as_str();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_name) {
            return Some(ToolFlaw::Name(name));
        }
        if !names.insert(name) {
            return Some(ToolFlaw::Twice(name));
        }
        (!is_object_schema(&tool.parameters)).then_some(ToolFlaw::Schema(name))
    })
}

fn is_object_schema(parameters: &str) -> bool {
    match serde_json::from_str(parameters) {
        Ok(Value::Object(schema)) => schema.get("type").is_none_or(|kind| kind == "object"),
        _ => false,
    }
}

/// What is wrong with options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionsFlaw {
    /// They are no JSON object.
    NoObject,
    /// They set what is the kernel's.
    Ours(&'static str),
}

/// Reads options.
///
/// # Errors
/// What is wrong with them.
pub fn options(text: &str) -> Result<Map<String, Value>, OptionsFlaw> {
    let Ok(Value::Object(options)) = serde_json::from_str(text) else { return Err(OptionsFlaw::NoObject) };
    match KERNEL_OPTIONS.into_iter().find(|key| options.contains_key(*key)) {
        Some(key) => Err(OptionsFlaw::Ours(key)),
        None => Ok(options),
    }
}
