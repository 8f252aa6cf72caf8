//! The tools there are at one moment, by name. Built when tools come, change or go, so that a call costs the same
//! however many there are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::names::Names;
use super::schema::Schema;
use prx_host::bindings::tool as wire;
use prx_host::{Plugins, ToolEntry};
use prx_mcp::Mcp;

/// An immutable snapshot. Readers keep theirs while a new one takes its place.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    revision: Revision,
    tools: BTreeMap<String, Arc<Tool>>,
    names: Arc<Names>,
}

/// Which tools a catalog was built from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Revision {
    plugins: u64,
    mcp: u64,
}

/// A tool that can be called, and what is compiled of it. Both are kept until the tool changes or goes.
#[derive(Debug)]
pub(crate) struct Tool {
    definition: Definition,
    /// Compiled at the first use.
    schema: OnceLock<Schema>,
}

/// A tool as whoever gives it defines it.
#[derive(Debug, PartialEq)]
pub(crate) struct Definition {
    /// The name it is called by.
    pub(crate) name: String,
    /// What it does.
    pub(crate) description: String,
    /// JSON Schema of its arguments.
    pub(crate) parameters: Value,
    /// It changes nothing outside.
    pub(crate) read_only: bool,
    /// Who gives it.
    pub(crate) source: Source,
}

/// Who gives a tool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The plugin of that name.
    Plugin(String),
    /// An MCP server, which has its own name for the tool.
    Mcp {
        /// The server's name.
        server: String,
        /// The tool's name there.
        tool: String,
    },
}

impl Revision {
    /// The tools there are now.
    pub(super) fn of(plugins: &Plugins, mcp: &Mcp) -> Self {
        Self { plugins: plugins.revision(), mcp: mcp.revision() }
    }
}

impl Catalog {
    /// The catalog of this revision. What has not changed since `before` is taken over from there, compiled as it is.
    pub(super) fn build(revision: Revision, before: &Self, plugins: &Plugins, mcp: &Mcp) -> Self {
        let plugins = plugins.tools().into_iter().map(Definition::from);
        let mcp = mcp.tools().into_iter().map(Definition::from);
        Self { revision, ..before.with(plugins.chain(mcp)) }
    }

    /// A catalog of these tools. The first of those with the same name counts: a server's tool does not take the place
    /// of a plugin's.
    fn with(&self, definitions: impl Iterator<Item = Definition>) -> Self {
        let mut tools = BTreeMap::new();
        for definition in definitions {
            if tools.contains_key(&definition.name) {
                continue;
            }
            let known = self.tools.get(&definition.name).filter(|known| known.definition == definition);
            let name = definition.name.clone();
            tools.insert(name, known.cloned().unwrap_or_else(|| Arc::new(Tool::new(definition))));
        }
        let names = Arc::new(Names::new(tools.keys().map(String::as_str)));
        Self { revision: self.revision, tools, names }
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The tool of that name.
    pub(crate) fn tool(&self, name: &str) -> Option<&Arc<Tool>> {
        self.tools.get(name)
    }

    /// Every tool, by name.
    pub(crate) fn tools(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.values()
    }

    /// What models call the tools.
    pub(crate) fn names(&self) -> &Arc<Names> {
        &self.names
    }
}

impl Tool {
    fn new(definition: Definition) -> Self {
        Self { definition, schema: OnceLock::new() }
    }

    /// The tool as whoever gives it defines it.
    pub(crate) fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The name it is called by.
    pub(crate) fn name(&self) -> &str {
        &self.definition.name
    }

    /// Its parameters, ready to check arguments against.
    pub(super) fn schema(&self) -> &Schema {
        self.schema.get_or_init(|| Schema::new(&self.definition.parameters))
    }

    /// Why nobody can call it, if that is so.
    pub(crate) fn problem(&self) -> Option<String> {
        let problem = self.schema().problem()?;
        Some(format!("its parameters are no JSON Schema that can be used: {problem}"))
    }
}

impl From<ToolEntry> for Definition {
    fn from(entry: ToolEntry) -> Self {
        let wire::ToolInfo { name, description, parameters, read_only } = entry.info;
        Self {
            name,
            description,
            // What is no JSON is kept as text, and found to be no schema.
            parameters: serde_json::from_str(&parameters).unwrap_or(Value::String(parameters)),
            read_only,
            source: Source::Plugin(entry.plugin),
        }
    }
}

impl From<prx_mcp::Tool> for Definition {
    fn from(tool: prx_mcp::Tool) -> Self {
        let prx_mcp::Tool { server, name: tool, description, parameters, read_only } = tool;
        let name = format!("{server}.{tool}");
        Self { name, description, parameters, read_only, source: Source::Mcp { server, tool } }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin(plugin) => write!(f, "plugin:{plugin}"),
            Self::Mcp { server, .. } => write!(f, "mcp:{server}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(name: &str, source: Source) -> Definition {
        let (name, parameters) = (name.to_owned(), json!({"type": "object"}));
        Definition { name, description: String::new(), parameters, read_only: false, source }
    }

    fn plugin(name: &str) -> Definition {
        definition(name, Source::Plugin("weather".into()))
    }

    fn server(name: &str) -> Definition {
        definition(name, Source::Mcp { server: "near".into(), tool: "echo".into() })
    }

    #[test]
    fn a_schema_is_compiled_once_until_its_tool_changes_or_goes() {
        let first = Catalog::default().with([plugin("rain"), plugin("sun")].into_iter());
        let (rain, sun) = (first.tool("rain").unwrap().clone(), first.tool("sun").unwrap().clone());
        assert_eq!(sun.schema().violations(&json!({})), None);
        let stricter = json!({"type": "object", "minProperties": 1});
        let changed = Definition { parameters: stricter, ..plugin("sun") };
        let second = first.with([plugin("rain"), changed].into_iter());
        assert!(Arc::ptr_eq(&rain, second.tool("rain").unwrap()));
        assert!(second.tool("sun").unwrap().schema().violations(&json!({})).is_some());
        let sun = Arc::downgrade(&{ sun });
        drop(first);
        assert!(sun.upgrade().is_none(), "it goes with the last who reads of it");
    }

    #[test]
    fn the_first_tool_of_a_name_counts() {
        let catalog = Catalog::default().with([plugin("near.echo"), server("near.echo")].into_iter());
        let sources: Vec<String> = catalog.tools().map(|tool| tool.definition().source.to_string()).collect();
        assert_eq!(sources, ["plugin:weather"]);
        assert_eq!(server("near.echo").source.to_string(), "mcp:near");
    }
}
