//! The gateway, as MCP clients see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CustomRequest, CustomResult,
    ErrorCode, ErrorData, Implementation, InputRequiredResult, ListToolsResult, PaginatedRequestParams,
    RequestMetaObject, ResourceContents, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::info;
use url::form_urlencoded;

use crate::gateway::Gateway;
use prx_agents::tool::{CallContext, Names, ToolResult, ToolSummary};
use prx_base::config::Policy;
use prx_base::error::{Code, Error, Result};
use prx_http::{Caller, OCTETS, Scope};
use prx_mcp::door::{Answer, Ask, Client, Questions, can_elicit};
use prx_store::{Attachment, AttachmentKind};

/// JSON-RPC has no code for it; that of the language server protocol.
const CANCELLED: ErrorCode = ErrorCode(-32800);
/// What the one question is called that a call may need.
const QUESTION: &str = "allow";

/// The gateway for one request.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) caller: Caller,
    pub(super) client: Client,
    pub(super) gateway: Arc<Gateway>,
    /// What clients call the tools.
    pub(super) names: Arc<Names>,
    /// The arguments of the call, where they are no object.
    pub(super) odd: Option<Value>,
    /// A person has allowed the call.
    pub(super) allowed: bool,
    /// Cancelled when nobody waits for the answer.
    pub(super) cancelled: CancellationToken,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let name = Implementation::new("prx", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build()).with_server_info(name)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let callable = |tool: &ToolSummary| tool.policy != Policy::Deny && tool.problem.is_none();
        let tools: Vec<_> = self.gateway.tools.list().await.into_iter().filter(callable).collect();
        // Some may have come just now.
        let names = self.names.with(tools.iter().map(|tool| tool.name.as_str()));
        Ok(ListToolsResult::with_all_items(tools.into_iter().map(|summary| tool(summary, &names)).collect()))
    }

    /// What the SDK can't read: a method that there is not, or one whose parameters are wrong.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = request.method;
        let wants = match &*method {
            "initialize" => {
                "`protocolVersion`, a string, `capabilities`, an object, and `clientInfo` with `name` and `version`"
            }
            "tools/call" => "`name`, a string, and `arguments`, an object",
            "tools/list" => "nothing but `cursor`, a string",
            "ping" => "nothing",
            _ => {
                let message = format!(
                    "There is no method {method}; there are initialize, ping, tools/list and tools/call"
                );
                return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None));
            }
        };
        Err(ErrorData::invalid_params(
            format!("The parameters of {method} don't fit: it takes {wants}"),
            None,
        ))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => {
                info!(tool = self.names.own(&request.name), "nobody waits for this tool call any more; it is cancelled");
                Err(ErrorData::new(CANCELLED, "The client has cancelled the request", None))
            }
            answered = self.answer(&request, &context.meta) => answered,
        }
    }
}

impl Server {
    /// Where the parameters of a request have what its client can do, in `_meta`.
    pub(super) const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

    async fn answer(
        &self,
        request: &CallToolRequestParams,
        meta: &RequestMetaObject,
    ) -> Result<CallToolResponse, ErrorData> {
        let forbidden = |error: Error| ErrorData::invalid_request(error.to_string(), None);
        self.caller.require(Scope::TOOLS_WRITE).map_err(forbidden)?;
        let tool = self.names.own(&request.name);
        let given = || Value::Object(request.arguments.clone().unwrap_or_default());
        let mut arguments = self.odd.clone().unwrap_or_else(given);
        if let Err(stopped) = self.gateway.tools.pass(tool, &mut arguments, &CallContext::default()).await {
            return Ok(CallToolResponse::Complete(not_called(tool, stopped.message())));
        }
        let policy = self.gateway.base.config.current().tools.policy_of(tool);
        if policy == Policy::Ask && !self.allowed {
            if let Err(error) = self.gateway.tools.check(tool, &arguments).await {
                return failed(&error);
            }
            if let Some(instead) = self.permission(request, meta, tool, &arguments)? {
                return Ok(instead);
            }
        }
        match self.gateway.tools.call_passed(tool, &arguments, CallContext::default()).await {
            Ok(result) => Ok(CallToolResponse::Complete(self.result(result).await)),
            Err(error) => failed(&error),
        }
    }

    /// What is answered in place of a call that nobody has allowed yet; none if somebody has.
    fn permission(
        &self,
        request: &CallToolRequestParams,
        meta: &RequestMetaObject,
        tool: &str,
        arguments: &Value,
    ) -> Result<Option<CallToolResponse>, ErrorData> {
        let refuse = |why: &str| Ok(Some(CallToolResponse::Complete(not_called(tool, why))));
        let internal = |error: Error| ErrorData::internal_error(error.to_string(), None);
        let base = &self.gateway.base;
        let (questions, now) = (self.gateway.door.questions(), base.clock.now());
        let ask = Ask { caller: self.client.caller.clone(), call: json!([tool, arguments]) };
        if let Some(state) = &request.request_state
            && questions.recall(state, &ask, now)
        {
            let given = request.input_responses.as_ref().and_then(|given| given.get(QUESTION));
            return refused(Answer::read(given)).map_or(Ok(None), refuse);
        }
        let words = match prx_agents::question(tool, arguments) {
            Ok(words) => words,
            Err(why) => return refuse(&format!("the user has to allow it and can't be asked: {why}")),
        };
        if !meta.client_capabilities().is_some_and(|capabilities| can_elicit(&json!(capabilities))) {
            return refuse(&format!(
                "its policy is `ask`, and this client can't put the question to a person: it offers no elicitation, or \
                 takes no text/event-stream. Use one that does, or have the operator allow it: tools.policy = {{ \
                 \"{tool}\" = \"allow\" }}"
            ));
        }
        let timeout = Duration::from_secs(base.config.current().tools.ask_timeout_secs);
        let state = questions.remember(ask, random().map_err(internal)?, now, timeout);
        let question = json!({"method": "elicitation/create", "params": Questions::parameters(&words)});
        let question = serde_json::from_value(question).map_err(|error| internal(Error::internal(error)))?;
        let requests = BTreeMap::from([(QUESTION.to_owned(), question)]);
        Ok(Some(CallToolResponse::InputRequired(InputRequiredResult::new(Some(requests), Some(state)))))
    }

    async fn result(&self, result: ToolResult) -> CallToolResult {
        let mut content = vec![ContentBlock::text(result.content)];
        for file in result.attachments {
            content.push(self.content(file).await);
        }
        let mut answer =
            if result.is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
        answer.structured_content = result.structured;
        answer
    }

    /// A tool's file, with its bytes.
    async fn content(&self, file: Attachment) -> ContentBlock {
        let Attachment { blob, kind, name, mime, .. } = file;
        let name = name.as_deref().unwrap_or(&blob);
        let Ok(bytes) = self.gateway.store.read_blob(&blob, 0, u32::MAX).await else {
            return ContentBlock::text(format!("[{name}: it is no longer kept]"));
        };
        let (data, mime) = (STANDARD.encode(bytes), mime.unwrap_or_else(|| OCTETS.to_owned()));
        match kind {
            AttachmentKind::Image => ContentBlock::image(data, mime),
            AttachmentKind::Audio => ContentBlock::audio(data, mime),
            _ => {
                let name = form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>();
                let uri = format!("prx://blobs/{blob}/{}", name.replace('+', "%20"));
                let resource = ResourceContents::blob(data, uri);
                ContentBlock::resource(resource.with_mime_type(mime))
            }
        }
    }
}

/// A tool as clients are told of it: with a name that all of them take, and its own for people.
fn tool(summary: ToolSummary, names: &Names) -> Tool {
    let ToolSummary { name, description, parameters, read_only, .. } = summary;
    let schema = parameters.as_object().cloned().unwrap_or_default();
    Tool::new(names.shown(&name).to_owned(), description, schema)
        .with_title(name)
        .with_annotations(ToolAnnotations::new().read_only(read_only))
}

/// What a call that was not made is answered with: what a model can mend is a result, for it to read.
fn failed(error: &Error) -> Result<CallToolResponse, ErrorData> {
    let message = error.to_string();
    match error.code() {
        Code::BadRequest => {
            Ok(CallToolResponse::Complete(CallToolResult::error(vec![ContentBlock::text(message)])))
        }
        Code::NotFound | Code::Forbidden => Err(ErrorData::invalid_params(message, None)),
        _ => Err(ErrorData::internal_error(message, None)),
    }
}

/// Why a call is not made after this answer; none: it is.
pub(super) fn refused(answer: Answer) -> Option<&'static str> {
    match answer {
        Answer::Accepted => None,
        Answer::Declined => Some("the user does not allow it"),
        Answer::None => Some("the user has not allowed it"),
    }
}

/// That a tool was not called, for the model.
pub(super) fn not_called(tool: &str, why: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(format!("{tool} was not called: {why}"))])
}

/// Something random.
///
/// # Errors
/// The system has none.
pub(super) fn random() -> Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(u128::from_ne_bytes(bytes))
}
