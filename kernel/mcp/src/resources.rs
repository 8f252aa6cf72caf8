//! Resources and prompts of a server, as tools beside its own: models know how to use nothing else.

use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::{
    ClientRequest, GetPromptRequest, GetPromptRequestParams, JsonObject, ListPromptsRequest,
    ListResourceTemplatesRequest, ListResourcesRequest, PaginatedRequestParams, ReadResourceRequest,
    ReadResourceRequestParams,
};
use rmcp::service::Peer;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::pages::{self, Next, Pages};
use super::requests::{Limit, Traffic, Unanswered};

/// Most things that are listed, most pages on which a server lists them, and the bytes that they have in all.
const MAX_LISTED: usize = 256;
const MAX_PAGES: usize = 16;
const MAX_BYTES: usize = 256 << 10;
/// How long a server may take to say whether there is anything.
const FIRST_TIMEOUT: Duration = Duration::from_secs(5);
/// Most messages of a prompt that are read.
const MAX_MESSAGES: usize = 256;

/// What can be done with a server's resources and prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    ListResources,
    ReadResource,
    ListPrompts,
    GetPrompt,
}

/// What a list has of one kind.
struct Kind {
    request: fn(PaginatedRequestParams) -> ClientRequest,
    /// Where the server's answer has it.
    key: &'static str,
    /// What is told of each.
    fields: &'static [&'static str],
}

const RESOURCES: Kind = Kind {
    request: |page| ClientRequest::ListResourcesRequest(ListResourcesRequest::with_param(page)),
    key: "resources",
    fields: &["uri", "name", "title", "description", "mimeType", "size"],
};
const TEMPLATES: Kind = Kind {
    request: |page| {
        ClientRequest::ListResourceTemplatesRequest(ListResourceTemplatesRequest::with_param(page))
    },
    key: "resourceTemplates",
    fields: &["uriTemplate", "name", "title", "description", "mimeType"],
};
const PROMPTS: Kind = Kind {
    request: |page| ClientRequest::ListPromptsRequest(ListPromptsRequest::with_param(page)),
    key: "prompts",
    fields: &["name", "title", "description", "arguments"],
};

impl Kind {
    /// Whether a server has any of it. One that does not say has.
    async fn has_any(&self, peer: &Peer<RoleClient>, traffic: &Traffic) -> bool {
        let first = (self.request)(PaginatedRequestParams::default());
        match traffic.ask(peer, first, Limit::of(FIRST_TIMEOUT)).await {
            Ok(page) => {
                let listed = page.get(self.key).and_then(Value::as_array);
                listed.is_some_and(|listed| !listed.is_empty()) || pages::cursor(&page).is_some()
            }
            Err(unanswered) => !unanswered.is_unknown_method(),
        }
    }
}

impl Offer {
    /// What a server offers: what it says that it can do, unless there is nothing of it. Many say so of all.
    pub(super) async fn all(peer: &Peer<RoleClient>, traffic: &Traffic) -> Vec<Self> {
        let Some(info) = peer.peer_info() else { return Vec::new() };
        let (resources, prompts) =
            (info.capabilities.resources.is_some(), info.capabilities.prompts.is_some());
        let has = async |kind: &Kind, may_have: bool| may_have && kind.has_any(peer, traffic).await;
        let (has_resources, has_templates, has_prompts) =
            tokio::join!(has(&RESOURCES, resources), has(&TEMPLATES, resources), has(&PROMPTS, prompts));
        let has_resources = has_resources || has_templates;
        traffic.lacks_some(resources != has_resources || prompts != has_prompts);
        let resources = has_resources.then_some([Self::ListResources, Self::ReadResource]);
        let prompts = has_prompts.then_some([Self::ListPrompts, Self::GetPrompt]);
        resources.into_iter().chain(prompts).flatten().collect()
    }

    /// The tool's name, as if it were one of the server.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ListResources => "list_resources",
            Self::ReadResource => "read_resource",
            Self::ListPrompts => "list_prompts",
            Self::GetPrompt => "get_prompt",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::ListResources => {
                "Lists the server's resources (files, records and the like), each with the URI to read it by, and templates \
                 of further URIs."
            }
            Self::ReadResource => "Reads one of the server's resources.",
            Self::ListPrompts => "Lists the server's prompts, each with the arguments that it takes.",
            Self::GetPrompt => "Gets one of the server's prompts, filled in with arguments, as messages.",
        }
    }

    /// JSON Schema of its arguments.
    pub(super) fn parameters(self) -> Value {
        match self {
            Self::ListResources | Self::ListPrompts => json!({"type": "object", "properties": {}}),
            Self::ReadResource => json!({
                "type": "object",
                "properties": {"uri": {"type": "string", "description": "The resource's URI"}},
                "required": ["uri"],
            }),
            Self::GetPrompt => json!({
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "The prompt's name"},
                    "arguments": {
                        "type": "object",
                        "description": "Its arguments, by name",
                        "additionalProperties": {"type": "string"},
                    },
                },
                "required": ["name"],
            }),
        }
    }

    /// The one request that does it, where one does.
    pub(super) fn request(self, mut arguments: JsonObject) -> Option<ClientRequest> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        match self {
            Self::ListResources | Self::ListPrompts => None,
            Self::ReadResource => {
                let params = ReadResourceRequestParams::new(text(arguments.get("uri")));
                Some(ClientRequest::ReadResourceRequest(ReadResourceRequest::new(params)))
            }
            Self::GetPrompt => {
                let mut params = GetPromptRequestParams::new(text(arguments.get("name")));
                if let Some(Value::Object(given)) = arguments.remove("arguments") {
                    params = params.with_arguments(given);
                }
                Some(ClientRequest::GetPromptRequest(GetPromptRequest::new(params)))
            }
        }
    }

    /// What a server answered, as a tool would have.
    pub(super) fn result(self, mut answer: Value) -> Value {
        let mut all = |key: &str| match answer.get_mut(key).map(Value::take) {
            Some(Value::Array(all)) => all,
            _ => Vec::new(),
        };
        match self {
            Self::GetPrompt => {
                let messages = all("messages");
                let more = messages.len().saturating_sub(MAX_MESSAGES);
                let mut content: Vec<Value> =
                    messages.into_iter().take(MAX_MESSAGES).flat_map(message).collect();
                if more > 0 {
                    content.push(
                        json!({"type": "text", "text": format!("[{more} more messages are left out]")}),
                    );
                }
                json!({ "content": content })
            }
            _ => {
                let resource = |resource: Value| json!({"type": "resource", "resource": resource});
                let content: Vec<Value> = all("contents").into_iter().map(resource).collect();
                json!({ "content": content })
            }
        }
    }

    /// Lists what there is, as the result of a tool. The limit without progress is one for all pages.
    ///
    /// # Errors
    /// The server did not answer, or refused.
    pub(super) async fn list(
        self,
        peer: &Peer<RoleClient>,
        traffic: &Traffic,
        limit: Limit,
    ) -> Result<Value, Unanswered> {
        let until = Instant::now() + limit.each;
        let mut list = List { peer, traffic, until, found: Map::new(), count: 0, bytes: 0 };
        let is_whole = match self {
            Self::ListPrompts | Self::GetPrompt => list.read(&PROMPTS).await?,
            _ => {
                let is_whole = list.read(&RESOURCES).await?;
                match list.read(&TEMPLATES).await {
                    // Many servers know none.
                    Err(unanswered) if unanswered.is_unknown_method() => is_whole,
                    templates => templates? && is_whole,
                }
            }
        };
        let mut content = vec![json!({"type": "text", "text": list.text()})];
        if !is_whole {
            content.push(json!({"type": "text", "text": "[there are more, which are left out]"}));
        }
        Ok(json!({"content": content, "structuredContent": list.found}))
    }
}

/// A list while it is read.
struct List<'a> {
    peer: &'a Peer<RoleClient>,
    traffic: &'a Traffic,
    until: Instant,
    found: Map<String, Value>,
    count: usize,
    bytes: usize,
}

impl List<'_> {
    /// Reads all of one kind, and returns whether that was all there is.
    async fn read(&mut self, kind: &Kind) -> Result<bool, Unanswered> {
        let mut pages = Pages::at_most(MAX_PAGES);
        self.found.insert(kind.key.into(), json!([]));
        loop {
            let limit = Limit::of(self.until.saturating_duration_since(Instant::now()));
            let mut page = self.traffic.ask(self.peer, (kind.request)(pages.request()), limit).await?;
            let listed = match page.get_mut(kind.key).map(Value::take) {
                Some(Value::Array(listed)) => listed,
                _ => Vec::new(),
            };
            if !self.take(kind, listed) {
                return Ok(false);
            }
            match pages.turn(&page) {
                Next::Page => {}
                next => return Ok(next == Next::Nothing),
            }
        }
    }

    /// Takes in a page, and returns whether there was room for all of it.
    fn take(&mut self, kind: &Kind, listed: Vec<Value>) -> bool {
        let Some(Value::Array(kept)) = self.found.get_mut(kind.key) else { return false };
        for mut one in listed {
            let told = kind.fields.iter().filter_map(|field| {
                let value = one.get_mut(*field).map(Value::take).filter(|value| !value.is_null())?;
                Some(((*field).to_owned(), value))
            });
            let told: Map<String, Value> = told.collect();
            let told = Value::Object(told);
            self.bytes += told.to_string().len();
            if self.count == MAX_LISTED || self.bytes > MAX_BYTES {
                return false;
            }
            self.count += 1;
            kept.push(told);
        }
        true
    }

    /// A line of JSON for each.
    fn text(&self) -> String {
        let lists = self.found.iter().filter_map(|(_, list)| list.as_array());
        let lines: Vec<String> = lists.flatten().map(Value::to_string).collect();
        if lines.is_empty() { "there are none".into() } else { lines.join("\n") }
    }
}

/// A message of a prompt as content blocks: who says it, and what.
fn message(mut message: Value) -> Vec<Value> {
    let role = match message.get("role").and_then(Value::as_str) {
        Some("assistant") => "assistant:",
        _ => "user:",
    };
    let content = message.get_mut("content").map(Value::take).unwrap_or_default();
    let content = match content {
        Value::Array(blocks) => blocks,
        one => vec![one],
    };
    std::iter::once(json!({"type": "text", "text": role})).chain(content).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_answers_reads_like_a_tools_result() {
        let read = json!({"contents": [{"uri": "a://b", "text": "words"}]});
        assert_eq!(
            Offer::ReadResource.result(read),
            json!({"content": [{"type": "resource", "resource": {"uri": "a://b", "text": "words"}}]})
        );
        let text = |text: &str| json!({"type": "text", "text": text});
        let prompt = json!({"description": "x", "messages": [
            {"role": "user", "content": text("hi")}, {"role": "assistant", "content": [text("a"), text("b")]}, {"content": "odd"},
        ]});
        let content = json!([
            text("user:"),
            text("hi"),
            text("assistant:"),
            text("a"),
            text("b"),
            text("user:"),
            "odd"
        ]);
        assert_eq!(Offer::GetPrompt.result(prompt), json!({ "content": content }));
        let many = vec![json!({"role": "user", "content": "x"}); MAX_MESSAGES + 3];
        let cut = Offer::GetPrompt.result(json!({ "messages": many }));
        assert_eq!(cut["content"].as_array().unwrap().last(), Some(&text("[3 more messages are left out]")));
        for odd in [json!(null), json!({"contents": "none"}), json!([])] {
            assert_eq!(Offer::ReadResource.result(odd), json!({"content": []}));
        }
    }
}
