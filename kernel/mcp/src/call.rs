//! One call of a tool, over as many requests as it takes.

use rmcp::RoleClient;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, ErrorCode, InputResponses, JsonObject,
};
use rmcp::service::{Peer, ServiceError};
use serde_json::Value;

use super::connection::ELICITATION;
use super::requests::{Limit, Traffic, Unanswered};
use super::resources::Offer;
use super::under_way::{self, MAX_QUESTIONS};
use prx_base::traces::TraceContext;

/// Most requests that a call takes: a server may answer each with questions.
const MAX_REQUESTS: usize = 8;
/// The code of a refusal until a person has opened a page.
const PAGE_REQUIRED: i32 = -32042;

/// A call, and what it is made with.
pub(super) struct Call<'a> {
    pub(super) traffic: &'a Traffic,
    pub(super) peer: &'a Peer<RoleClient>,
    pub(super) open: &'a under_way::Call,
    pub(super) limit: Limit,
    pub(super) trace: Option<TraceContext>,
}

impl Call<'_> {
    /// The result of a tool of the server, or of what is `offer`ed beside them.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn answer(
        &self,
        tool: &str,
        arguments: JsonObject,
        offer: Option<Offer>,
    ) -> Result<Value, Unanswered> {
        let Some(offer) = offer else {
            let mut params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
            if let Some(trace) = self.trace {
                params.meta.get_or_insert_default().0.set_traceparent(trace.traceparent());
            }
            return self.finish(ClientRequest::CallToolRequest(CallToolRequest::new(params))).await;
        };
        match offer.request(arguments) {
            None => offer.list(self.peer, self.traffic, self.limit).await,
            Some(request) => match self.finish(request).await? {
                unfinished if is_unfinished(&unfinished) => Ok(unfinished),
                answer => Ok(offer.result(answer)),
            },
        }
    }

    /// Makes a request, and once more with what the person said for as long as the server answers with questions, or wants
    /// a page opened first.
    async fn finish(&self, mut request: ClientRequest) -> Result<Value, Unanswered> {
        let mut requests = 1;
        loop {
            let asked = self.traffic.ask_for(Some(self.open), self.peer, request.clone(), self.limit).await;
            if requests < MAX_REQUESTS && self.was_opened(&asked).await {
                requests += 1;
                continue;
            }
            let result = asked?;
            if !wants_input(&result) || requests == MAX_REQUESTS {
                return Ok(result);
            }
            let Some(answers) = self.answers(&result).await else { return Ok(result) };
            let state = result.get("requestState").and_then(Value::as_str).map(str::to_owned);
            put(&mut request, answers, state);
            requests += 1;
        }
    }

    /// Whether a server refused a request until a page was opened, and the person has done that now.
    async fn was_opened(&self, answer: &Result<Value, Unanswered>) -> bool {
        let Err(Unanswered::Failed(ServiceError::McpError(error))) = answer else { return false };
        let pages = error.data.as_ref().and_then(|data| data["elicitations"].as_array());
        let Some(pages) = pages.filter(|_| error.code == ErrorCode(PAGE_REQUIRED)) else { return false };
        let mut all = (1..=MAX_QUESTIONS as usize).contains(&pages.len());
        for page in pages {
            all = all && self.open.elicit(page).await["action"] == "accept";
        }
        all
    }

    /// The answers to the questions in a result; none if there is something that a person is not asked here.
    async fn answers(&self, result: &Value) -> Option<InputResponses> {
        let questions = result.get("inputRequests")?.as_object()?;
        let is_question = |wanted: &Value| wanted["method"] == ELICITATION;
        if !(1..=MAX_QUESTIONS as usize).contains(&questions.len()) || !questions.values().all(is_question) {
            return None;
        }
        let mut answers = InputResponses::new();
        for (key, question) in questions {
            answers.insert(key.clone(), self.open.elicit(&question["params"]).await);
        }
        Some(answers)
    }
}

fn put(request: &mut ClientRequest, answers: InputResponses, state: Option<String>) {
    let (given, echoed) = match request {
        ClientRequest::CallToolRequest(call) => {
            (&mut call.params.input_responses, &mut call.params.request_state)
        }
        ClientRequest::GetPromptRequest(get) => {
            (&mut get.params.input_responses, &mut get.params.request_state)
        }
        ClientRequest::ReadResourceRequest(read) => {
            (&mut read.params.input_responses, &mut read.params.request_state)
        }
        _ => return,
    };
    (*given, *echoed) = (Some(answers), state);
}

fn kind(result: &Value) -> Option<&str> {
    result.get("resultType").and_then(Value::as_str)
}

fn wants_input(result: &Value) -> bool {
    kind(result) == Some("input_required")
}

/// Whether a result is none yet: the server waits for a person, or goes on by itself.
pub(super) fn is_unfinished(result: &Value) -> bool {
    wants_input(result) || kind(result) == Some("task")
}
