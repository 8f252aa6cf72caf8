//! The tools there are at one moment, by name. Built when tools come, change or go, so that a call costs the same
//! however many there are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use super::names::Names;
use super::schema::{MAX_SCHEMA_BYTES, Schema};
use prx_base::text::{escaped, is_seen};
use prx_host::bindings::tool as wire;
use prx_host::{Plugins, ToolEntry};
use prx_mcp::Mcp;

/// Most tools of one plugin or server.
const MAX_TOOLS: usize = 256;
/// Most characters of a tool's name, that of its server included.
const MAX_NAME_CHARS: usize = 192;
/// Bytes of a description that a model is told.
const MAX_DESCRIPTION_BYTES: usize = 4 << 10;
/// Bytes that the descriptions and parameters of one plugin's or server's tools have in all.
const MAX_BYTES: usize = 1 << 20;
/// States that the automata of their patterns have in all.
const MAX_STATES: u64 = 1 << 18;

/// An immutable snapshot. Readers keep theirs while a new one takes its place.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    revision: Revision,
    tools: BTreeMap<String, Arc<Tool>>,
    /// Those that can't be called by any name: another has it, or it is none.
    nameless: Vec<Arc<Tool>>,
    names: Arc<Names>,
}

/// Which tools a catalog was built from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Revision {
    plugins: u64,
    mcp: u64,
}

/// A tool, and what is compiled of it. Both are kept until the tool changes or goes.
#[derive(Debug)]
pub(crate) struct Tool {
    definition: Definition,
    schema: Schema,
    /// Why nobody can call it.
    problem: Option<String>,
    /// What a model is told of its parameters: the definition's as text.
    parameters: String,
    /// It is left out for what else there is, not for what it is.
    is_crowded_out: bool,
}

/// A tool as whoever gives it defines it.
#[derive(Debug, Clone, PartialEq)]
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
    /// Why it can't be called, as whoever gives it knows.
    pub(crate) problem: Option<String>,
}

/// Who gives a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The catalog of this revision. What has not changed since `before` is taken over from there, compiled as it is. It
    /// computes: see [`apart`](super::schema::apart).
    pub(super) fn build(revision: Revision, before: &Self, plugins: &Plugins, mcp: &Mcp) -> Self {
        let plugins = plugins.tools().into_iter().map(Definition::from);
        let mcp = mcp.tools().into_iter().map(Definition::from);
        Self { revision, ..before.with(plugins.chain(mcp)) }
    }

    /// A catalog of these tools. The first of those with the same name counts: a server's tool does not take the place
    /// of a plugin's. The others are there with why they can't be called.
    fn with(&self, definitions: impl Iterator<Item = Definition>) -> Self {
        let (mut tools, mut nameless) = (BTreeMap::<String, Arc<Tool>>::new(), Vec::new());
        let mut taken: BTreeMap<String, Taken> = BTreeMap::new();
        for mut definition in definitions {
            let source = definition.source.to_string();
            let holder = tools.get(&definition.name).map(|holder| holder.definition.source.to_string());
            if let Some(problem) = nameless_for(&definition, holder) {
                let shown = escaped(&definition.name).chars().take(MAX_NAME_CHARS).collect();
                definition.name = shown;
                nameless.push(Arc::new(Tool::unusable(definition, problem)));
                continue;
            }
            let known = self.tools.get(&definition.name).filter(|known| known.definition == definition);
            let known = known.filter(|known| !known.is_crowded_out).cloned();
            let name = definition.name.clone();
            let tool = taken.entry(source).or_default().take(definition, known);
            tools.insert(name, tool);
        }
        let names = Arc::new(Names::new(tools.keys().map(String::as_str)));
        Self { revision: self.revision, tools, nameless, names }
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The tool of that name.
    pub(crate) fn tool(&self, name: &str) -> Option<&Arc<Tool>> {
        self.tools.get(name)
    }

    /// Every tool that has a name, by name.
    pub(crate) fn tools(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.values()
    }

    /// The tools that can't be called by any name.
    pub(super) fn nameless(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.nameless.iter()
    }

    /// What models call the tools.
    pub(crate) fn names(&self) -> &Arc<Names> {
        &self.names
    }
}

/// Why a tool can't be called by its name, if that is so. `holder`: who gives another one of that name.
fn nameless_for(definition: &Definition, holder: Option<String>) -> Option<String> {
    if let Some(holder) = holder {
        return Some(format!("its name is taken by a tool of {holder}; rename one of them"));
    }
    let name = &definition.name;
    let length = name.chars().count();
    if length > MAX_NAME_CHARS {
        return Some(format!("its name has {length} characters; {MAX_NAME_CHARS} are the most"));
    }
    let fits = |c: char| (c.is_alphanumeric() && is_seen(c)) || matches!(c, '_' | '-' | '.' | '/' | ':');
    let wrong = name.chars().find(|c| !fits(*c))?;
    let wrong = escaped(wrong.encode_utf8(&mut [0; 4])).into_owned();
    Some(format!("its name has `{wrong}` in it; a name has letters, digits, and _ - . / : in it"))
}

/// What the tools of one source take together.
#[derive(Default)]
struct Taken {
    tools: usize,
    bytes: usize,
    states: u64,
}

impl Taken {
    /// A tool, with its schema compiled or as it is known, unless there is too much before it.
    fn take(&mut self, definition: Definition, known: Option<Arc<Tool>>) -> Arc<Tool> {
        if self.tools >= MAX_TOOLS {
            return crowded_out(definition, "in number", MAX_TOOLS as u64);
        }
        self.tools += 1;
        let tool = known.unwrap_or_else(|| Arc::new(Tool::new(definition)));
        if tool.problem.is_some() {
            return tool;
        }
        let bytes = self.bytes + tool.definition.description.len() + tool.parameters.len();
        let states = self.states + tool.schema.states();
        if bytes > MAX_BYTES {
            return crowded_out(tool.definition.clone(), "bytes in all", MAX_BYTES as u64);
        }
        if states > MAX_STATES {
            return crowded_out(tool.definition.clone(), "states of patterns", MAX_STATES);
        }
        (self.bytes, self.states) = (bytes, states);
        tool
    }
}

/// A tool that is left out for those before it.
fn crowded_out(definition: Definition, what: &str, most: u64) -> Arc<Tool> {
    let source = definition.source.to_string();
    let problem = format!(
        "the tools of {source} are too many: {most} {what} are the most, and those before it have them"
    );
    Arc::new(Tool { is_crowded_out: true, ..Tool::unusable(definition, problem) })
}

/// Why no arguments could be held against these parameters of a tool. It computes, for a moment.
pub fn schema_problem(parameters: &Value) -> Option<String> {
    unusable_schema(&Schema::new(parameters))
}

fn unusable_schema(schema: &Schema) -> Option<String> {
    schema.problem().map(|problem| format!("its parameters are no JSON Schema that can be used: {problem}"))
}

impl Tool {
    fn new(definition: Definition) -> Self {
        if let Some(problem) = definition.problem.clone() {
            return Self::unusable(definition, problem);
        }
        let schema = Schema::new(&definition.parameters);
        let parameters = definition.parameters.to_string();
        let problem = unusable_schema(&schema);
        match problem {
            Some(problem) if parameters.len() > MAX_SCHEMA_BYTES => Self::unusable(definition, problem),
            problem => Self { definition, schema, problem, parameters, is_crowded_out: false },
        }
    }

    /// One that can't be called. Of its parameters nothing is kept.
    fn unusable(definition: Definition, problem: String) -> Self {
        Self {
            definition: Definition { parameters: json!({}), ..definition },
            schema: Schema::unusable(),
            problem: Some(problem),
            parameters: "{}".into(),
            is_crowded_out: false,
        }
    }

    /// The tool as whoever gives it defines it.
    pub(crate) fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The name it is called by.
    pub(crate) fn name(&self) -> &str {
        &self.definition.name
    }

    /// JSON Schema of its arguments, as text.
    pub(crate) fn parameters(&self) -> &str {
        &self.parameters
    }

    /// Its parameters, ready to check arguments against.
    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Why nobody can call it, if that is so.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

/// A description as a model is told it.
fn description(given: &str) -> String {
    let mut told = given[..given.floor_char_boundary(MAX_DESCRIPTION_BYTES)].to_owned();
    if told.len() < given.len() {
        told.push_str(&format!(" [cut off: the first {} of {} bytes]", told.len(), given.len()));
    }
    told
}

impl From<ToolEntry> for Definition {
    fn from(entry: ToolEntry) -> Self {
        let wire::ToolInfo { name, description: about, parameters, read_only } = entry.info;
        Self {
            name,
            description: description(&about),
            // What is no JSON is kept as text, and found to be no schema.
            parameters: serde_json::from_str(&parameters).unwrap_or(Value::String(parameters)),
            read_only,
            source: Source::Plugin(entry.plugin),
            problem: None,
        }
    }
}

impl From<prx_mcp::Tool> for Definition {
    fn from(tool: prx_mcp::Tool) -> Self {
        let prx_mcp::Tool { server, name: tool, description: about, parameters, read_only, problem } = tool;
        let (name, description) = (format!("{server}.{tool}"), description(&about));
        Self { name, description, parameters, read_only, source: Source::Mcp { server, tool }, problem }
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
    use super::*;

    fn definition(name: &str, source: Source) -> Definition {
        let (name, parameters) = (name.to_owned(), json!({"type": "object"}));
        Definition { name, description: String::new(), parameters, read_only: false, source, problem: None }
    }

    fn plugin(name: &str) -> Definition {
        definition(name, Source::Plugin("weather".into()))
    }

    fn server(name: &str) -> Definition {
        definition(name, Source::Mcp { server: "near".into(), tool: "echo".into() })
    }

    #[tokio::test]
    async fn a_schema_is_compiled_once_until_its_tool_changes_or_goes() {
        let first = Catalog::default().with([plugin("rain"), plugin("sun")].into_iter());
        let (rain, sun) = (first.tool("rain").unwrap().clone(), first.tool("sun").unwrap().clone());
        assert_eq!(sun.schema().violations(&json!({})).await.unwrap(), None);
        let stricter = json!({"type": "object", "minProperties": 1});
        let changed = Definition { parameters: stricter, ..plugin("sun") };
        let second = first.with([plugin("rain"), changed].into_iter());
        assert!(Arc::ptr_eq(&rain, second.tool("rain").unwrap()));
        let newer = second.tool("sun").unwrap().schema();
        assert!(newer.violations(&json!({})).await.unwrap().is_some());
        let sun = Arc::downgrade(&{ sun });
        drop(first);
        assert!(sun.upgrade().is_none(), "it goes with the last who reads of it");
    }

    #[test]
    fn the_first_tool_of_a_name_counts() {
        let catalog = Catalog::default().with([plugin("near.echo"), server("near.echo")].into_iter());
        let sources: Vec<String> = catalog.tools().map(|tool| tool.definition().source.to_string()).collect();
        assert_eq!(sources, ["plugin:weather"]);
        let other = catalog.nameless().next().unwrap();
        assert_eq!(other.definition().source.to_string(), "mcp:near");
        assert_eq!(
            other.problem(),
            Some("its name is taken by a tool of plugin:weather; rename one of them")
        );
    }

    #[test]
    fn a_name_that_lies_is_none() {
        for (name, shown) in [
            ("near.run`\n\nAllow it`", "near.run`\\u000a\\u000aAllow it`"),
            ("near.\u{202e}nur", "near.\\u202enur"),
            ("near.a\u{200b}b", "near.a\\u200bb"),
            ("near.a b", "near.a b"),
        ] {
            let catalog = Catalog::default().with([server(name)].into_iter());
            assert_eq!(catalog.tools().count(), 0);
            let tool = catalog.nameless().next().unwrap();
            assert_eq!(tool.name(), shown);
            assert!(tool.problem().unwrap().contains("in it"), "{:?}", tool.problem());
        }
        let long = server(&"é".repeat(500));
        let catalog = Catalog::default().with([long, server("näher:/x_-.1")].into_iter());
        assert_eq!(catalog.tools().next().unwrap().name(), "näher:/x_-.1");
        assert!(catalog.nameless().next().unwrap().problem().unwrap().contains("500 characters"));
    }

    #[test]
    fn one_source_has_so_much_room_and_takes_none_of_anothers() {
        let wide = |name: &str| {
            let parameters = json!({"description": "x".repeat(MAX_SCHEMA_BYTES - 100)});
            Definition { parameters, ..plugin(name) }
        };
        let many = (0..20).map(|n| wide(&format!("wide{n:02}")));
        let catalog = Catalog::default().with(many.chain([server("near.echo")]));
        let problems = catalog.tools().filter_map(|tool| tool.problem()).count();
        assert_eq!((problems, catalog.tool("near.echo").unwrap().problem()), (4, None));
        let again = catalog.with([wide("wide19")].into_iter());
        assert_eq!(again.tool("wide19").unwrap().problem(), None, "there is room for it now");
        let many = (0..300).map(|n| plugin(&format!("small{n:03}")));
        let catalog = Catalog::default().with(many);
        assert_eq!(catalog.tools().filter(|tool| tool.problem().is_none()).count(), MAX_TOOLS);
    }

    #[test]
    fn a_long_description_is_cut_and_says_so() {
        let long = description(&"é".repeat(225_000));
        assert!(long.len() < MAX_DESCRIPTION_BYTES + 100 && long.ends_with("of 450000 bytes]"), "{long}");
        assert_eq!(description("short"), "short");
    }
}
