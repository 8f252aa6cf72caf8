//! The tools that a server lists, as many as are read, and of each what is used.

use std::collections::HashSet;
use std::sync::Arc;

use rmcp::RoleClient;
use rmcp::model::{PaginatedRequestParams, Tool, ToolAnnotations};
use rmcp::service::{Peer, ServiceError};

/// Most tools of a server that are read, and most pages on which it lists them.
const MAX_TOOLS: usize = 256;
const MAX_PAGES: usize = 64;
/// Bytes of the descriptions and schemas that are kept of a server's tools: a little more than can be used of them.
const MAX_BYTES: usize = 4 << 20;

/// A server's tools.
#[derive(Clone, Default)]
pub(super) struct Listing {
    /// In the server's own order.
    pub(super) tools: Arc<[Tool]>,
    names: Arc<HashSet<String>>,
    /// Why it has more of them than these.
    pub(super) problem: Option<String>,
}

impl Listing {
    /// Whether there is a tool of that name, however many there are.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Has a server list its tools, and stops to read where there are too many.
    ///
    /// # Errors
    /// It did not answer as it should.
    pub(super) async fn read(peer: &Peer<RoleClient>) -> Result<Self, ServiceError> {
        let (mut tools, mut bytes, mut cursor) = (Vec::new(), 0, None);
        let mut problem = None;
        for _ in 0..MAX_PAGES {
            let params = PaginatedRequestParams::default().with_cursor(cursor);
            let page = peer.list_tools(Some(params)).await?;
            cursor = page.next_cursor;
            let room = MAX_TOOLS - tools.len();
            let is_more = page.tools.len() > room || (page.tools.len() == room && cursor.is_some());
            if is_more {
                problem = Some(format!(
                    "it has more than {MAX_TOOLS} tools; those after the first {MAX_TOOLS} are left out"
                ));
            }
            let slimmed = tokio::task::spawn_blocking(move || {
                page.tools.into_iter().take(room).map(slim).collect::<Vec<_>>()
            });
            for (tool, size) in slimmed.await.unwrap_or_default() {
                bytes += size;
                if bytes > MAX_BYTES {
                    problem = Some(format!(
                        "its tools have more than {MAX_BYTES} bytes; those after the first {} are left out",
                        tools.len()
                    ));
                    return Ok(Self::of(tools, problem));
                }
                tools.push(tool);
            }
            if is_more || cursor.is_none() {
                return Ok(Self::of(tools, problem));
            }
        }
        let problem =
            format!("it lists its tools on more than {MAX_PAGES} pages; those after them are left out");
        Ok(Self::of(tools, Some(problem)))
    }

    fn of(tools: Vec<Tool>, problem: Option<String>) -> Self {
        let names = tools.iter().map(|tool| tool.name.to_string()).collect();
        Self { tools: tools.into(), names: Arc::new(names), problem }
    }
}

/// What is used of a tool, and its bytes.
fn slim(tool: Tool) -> (Tool, usize) {
    let Tool { name, description, input_schema, annotations, .. } = tool;
    let schema = serde_json::to_string(&*input_schema).map_or(usize::MAX, |schema| schema.len());
    let size = name.len() + description.as_deref().map_or(0, str::len) + schema;
    let read_only = annotations.and_then(|hints| hints.read_only_hint) == Some(true);
    let tool = Tool::new(name, description.unwrap_or_default(), input_schema);
    (tool.with_annotations(ToolAnnotations::new().read_only(read_only)), size)
}
