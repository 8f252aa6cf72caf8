//! The tools that a server lists, as many as are read, and of each what is used. They are read one by one: what is odd
//! about one takes none of the others away.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::{ClientRequest, ListToolsRequest};
use rmcp::service::{Peer, ServiceError};
use serde_json::Value;

use super::pages::{Next, Pages};
use super::requests::{Limit, Traffic, Unanswered};
use super::resources::Offer;
use super::schema;
use super::settings::Wanted;

/// Most tools of a server that are kept, and most pages on which it lists them.
const MAX_TOOLS: usize = 256;
const MAX_PAGES: usize = 64;
/// Most tools that are looked at, those included that nobody wants.
const MAX_SEEN: usize = 16 << 10;
/// Bytes of the descriptions and schemas that are kept of a server's tools: a little more than can be used of them.
const MAX_BYTES: usize = 4 << 20;
/// How long a server may take to list a page of its tools.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// A server's tools.
#[derive(Clone, Default)]
pub(super) struct Listing {
    /// In the server's own order, then what is offered besides.
    pub(super) tools: Arc<[Listed]>,
    names: Arc<HashSet<String>>,
    offers: Arc<[Offer]>,
    /// Why there are not those that the server or its operator says.
    pub(super) problem: Option<String>,
}

/// A tool as a server lists it.
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) parameters: Value,
    pub(super) read_only: bool,
    /// Why it can't be called.
    pub(super) problem: Option<String>,
}

/// Tools while they are read.
#[derive(Default)]
pub(super) struct Reader {
    wanted: Wanted,
    tools: Vec<Listed>,
    names: HashSet<String>,
    seen: usize,
    bytes: usize,
    nameless: usize,
    problem: Option<String>,
}

impl Listing {
    /// Whether there is a tool of that name that can be called, however many there are.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// What a tool of that name does beside those of the server itself; none if it is one of these.
    pub(super) fn offer(&self, name: &str) -> Option<Offer> {
        self.offers.iter().copied().find(|offer| offer.name() == name)
    }
}

impl Reader {
    /// Of a server that has no tools.
    pub(super) fn new(wanted: &Wanted) -> Self {
        Self { wanted: wanted.clone(), ..Self::default() }
    }

    /// Has a server list its tools, and stops to read where there are too many.
    ///
    /// # Errors
    /// It did not answer, or refused.
    pub(super) async fn of(
        peer: &Peer<RoleClient>,
        traffic: &Traffic,
        wanted: &Wanted,
    ) -> Result<Self, Unanswered> {
        let (mut reader, mut pages) = (Self::new(wanted), Pages::at_most(MAX_PAGES));
        loop {
            let request = ListToolsRequest::with_param(pages.request());
            let request = ClientRequest::ListToolsRequest(request);
            let mut page = traffic.ask(peer, request, Limit::of(PAGE_TIMEOUT)).await?;
            let listed = match page.get_mut("tools").map(Value::take) {
                Some(Value::Array(listed)) => listed,
                _ => {
                    reader.problem = Some("its answer to tools/list has no list of tools".into());
                    return Ok(reader);
                }
            };
            let read = tokio::task::spawn_blocking(move || {
                let is_full = !reader.read(listed);
                (reader, is_full)
            });
            let Ok((now, is_full)) = read.await else {
                return Err(Unanswered::Failed(ServiceError::UnexpectedResponse));
            };
            reader = now;
            if is_full {
                return Ok(reader);
            }
            match pages.turn(&page) {
                Next::Page => continue,
                Next::Nothing => {}
                Next::Again => {
                    let problem = "it lists the same page of its tools again and again; it was read once";
                    reader.problem = Some(problem.into());
                }
                Next::TooMany => {
                    reader.problem = Some(format!(
                        "it lists its tools on more than {MAX_PAGES} pages; those after them are left out"
                    ));
                }
            }
            return Ok(reader);
        }
    }

    /// Reads a page, and returns whether there may be more.
    fn read(&mut self, page: Vec<Value>) -> bool {
        for tool in page {
            self.seen += 1;
            if self.seen > MAX_SEEN {
                self.problem =
                    Some(format!("it lists more than {MAX_SEEN} tools; those after them are left out"));
                return false;
            }
            let Some(name) = tool.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
                self.nameless += 1;
                continue;
            };
            if !self.wanted.takes(name) {
                continue;
            }
            if self.tools.len() == MAX_TOOLS {
                self.problem = Some(format!(
                    "it has more than {MAX_TOOLS} tools; those after the first {MAX_TOOLS} are left out"
                ));
                return false;
            }
            let name = name.to_owned();
            let (tool, bytes) = self.tool(name, tool);
            self.bytes += bytes;
            if self.bytes > MAX_BYTES {
                self.problem = Some(format!(
                    "its tools have more than {MAX_BYTES} bytes; those after the first {} are left out",
                    self.tools.len()
                ));
                return false;
            }
            self.tools.push(tool);
        }
        true
    }

    /// A tool, and its bytes.
    fn tool(&mut self, name: String, mut tool: Value) -> (Listed, usize) {
        let description = tool.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        let read_only = tool.pointer("/annotations/readOnlyHint") == Some(&Value::Bool(true));
        let schema = tool.get_mut("inputSchema").map(Value::take);
        let (parameters, mut problem) = match schema::parameters(schema) {
            Ok(parameters) => (parameters, None),
            Err(problem) => (schema::any_object(), Some(problem)),
        };
        if problem.is_none() && !self.names.insert(name.clone()) {
            problem = Some("the server lists another tool of this name before it".into());
        }
        let bytes = name.len() + description.len() + parameters.to_string().len();
        (Listed { name, description, parameters, read_only, problem }, bytes)
    }
}

impl Reader {
    /// The tools that were read. What the server offers besides has its place after them, unless one of them has its name.
    pub(super) fn finish(self, mut offers: Vec<Offer>) -> Listing {
        let Self { wanted, mut tools, mut names, nameless, problem, .. } = self;
        offers.retain(|offer| {
            wanted.takes(offer.name()) && !tools.iter().any(|tool| tool.name == offer.name())
        });
        // A server with as many tools as are kept has no room for more.
        offers.truncate(MAX_TOOLS - tools.len());
        names.extend(offers.iter().map(|offer| offer.name().to_owned()));
        tools.extend(offers.iter().map(|offer| Listed::from(*offer)));
        let nameless =
            (nameless > 0).then(|| format!("{nameless} of its tools have no name and are left out"));
        let vain = wanted.in_vain(tools.iter().map(|tool| tool.name.as_str()));
        let vain = vain.map(|pattern| format!("tools: {pattern:?} is none of its tools"));
        let problem: Vec<String> = [problem, nameless, vain].into_iter().flatten().collect();
        let problem = (!problem.is_empty()).then(|| problem.join("; "));
        Listing { tools: tools.into(), names: Arc::new(names), offers: offers.into(), problem }
    }
}

impl From<Offer> for Listed {
    fn from(offer: Offer) -> Self {
        Self {
            name: offer.name().into(),
            description: offer.description().into(),
            parameters: offer.parameters(),
            read_only: true,
            problem: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_odd_tool_takes_no_other_away() {
        let page = json!([
            {"name": "plain", "description": "Does it", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}},
            {"name": "bare"}, {"description": "who?"}, {"name": ""}, "text", null, {"name": 7},
            {"name": "worded", "description": 7, "inputSchema": {"type": "string"}, "annotations": []},
            {"name": "plain", "description": "again"},
        ]);
        let Value::Array(page) = page else { unreachable!("a list") };
        let mut reader = Reader::default();
        assert!(reader.read(page));
        let listing = reader.finish(Vec::new());
        let names: Vec<_> =
            listing.tools.iter().map(|tool| (tool.name.as_str(), tool.problem.is_some())).collect();
        assert_eq!(names, [("plain", false), ("bare", false), ("worded", true), ("plain", true)]);
        assert!(listing.tools[0].read_only && listing.has("bare") && !listing.has("worded"));
        assert_eq!(listing.problem.as_deref(), Some("5 of its tools have no name and are left out"));
    }

    #[test]
    fn what_is_offered_beside_tools_obeys_the_list_and_leaves_a_server_its_own_names() {
        let all = vec![Offer::ListResources, Offer::ReadResource, Offer::ListPrompts, Offer::GetPrompt];
        let page = vec![json!({"name": "read_resource"}), json!({"name": "other"})];
        let patterns = |list: &[&str]| Wanted::of(list);
        let mut reader = Reader::new(&patterns(&["*_resource*", "get_prompt"]));
        assert!(reader.read(page));
        let listing = reader.finish(all.clone());
        let names: Vec<_> = listing.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, ["read_resource", "list_resources", "get_prompt"]);
        assert_eq!(listing.offer("list_resources"), Some(Offer::ListResources));
        assert_eq!((listing.offer("read_resource"), listing.offer("list_prompts")), (None, None));
        assert!(listing.has("get_prompt") && !listing.has("list_prompts"));
        assert_eq!(listing.problem, None);
        let full = (0..MAX_TOOLS).map(|n| json!({"name": format!("tool{n}")})).collect();
        let mut reader = Reader::default();
        assert!(reader.read(full));
        assert_eq!(reader.finish(all).tools.len(), MAX_TOOLS);
    }
}
