//! Questions that a turn asks: before it calls a tool, for an MCP server while that works on a call, and for its agent.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::{Error, Result};
use prx_http::describe::Takes;
use prx_http::parameter::{Either, Parameter, Text};
use prx_http::{Call, Doc, Reply};
use prx_store::{Approval, Choice, Decision, Elicitation, Question};

/// What waits for a person: a call of a tool, or its agent.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Approval")]
pub(super) struct ApprovalView<'a> {
    id: &'a str,
    call: &'a str,
    tool: &'a str,
    arguments: &'a Value,
    asked_at: String,
    expires_at: String,
    /// What the tool's MCP server asks; without it the question is whether the tool may be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    elicitation: Option<ElicitationView<'a>>,
    /// What the agent asks; then there is no tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<QuestionView<'a>>,
}

/// What the agent asks.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Question")]
struct QuestionView<'a> {
    /// Its words, in CommonMark.
    text: &'a str,
    choices: Vec<ChoiceView<'a>>,
}

/// What may be answered.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Choice")]
struct ChoiceView<'a> {
    id: &'a str,
    label: &'a str,
}

/// What an MCP server asks.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Elicitation")]
struct ElicitationView<'a> {
    /// Its words.
    message: &'a str,
    /// The page that it wants opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    /// What `allow` answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a Value>,
}

#[derive(Serialize, JsonSchema)]
struct Approvals<'a> {
    approvals: Vec<ApprovalView<'a>>,
}

/// What was decided.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Decided")]
struct Decided<'a> {
    id: &'a str,
    decision: Word,
    /// What was chosen, where there are choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    choice: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Decision")]
enum Word {
    Allow,
    Deny,
    Chosen,
    Expired,
}

impl From<Decision> for Word {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allow => Self::Allow,
            Decision::Deny => Self::Deny,
            Decision::Chosen(_) => Self::Chosen,
            Decision::Expired => Self::Expired,
        }
    }
}

impl<'a> From<&'a Approval> for ApprovalView<'a> {
    fn from(approval: &'a Approval) -> Self {
        Self {
            id: &approval.id,
            call: &approval.asked.call,
            tool: &approval.asked.tool,
            arguments: &approval.asked.arguments,
            asked_at: rfc3339(approval.asked_at),
            expires_at: rfc3339(approval.expires_at),
            elicitation: approval.asked.elicitation.as_ref().map(ElicitationView::from),
            question: approval.asked.question.as_ref().map(QuestionView::from),
        }
    }
}

impl<'a> From<&'a Question> for QuestionView<'a> {
    fn from(asked: &'a Question) -> Self {
        let choice = |choice: &'a Choice| ChoiceView { id: &choice.id, label: &choice.label };
        Self { text: &asked.text, choices: asked.choices.iter().map(choice).collect() }
    }
}

impl<'a> From<&'a Elicitation> for ElicitationView<'a> {
    fn from(asked: &'a Elicitation) -> Self {
        Self { message: &asked.message, url: asked.url.as_deref(), content: asked.content.as_ref() }
    }
}

pub(super) const LIST: Doc =
    Doc::new("List the tool calls of a session that wait for a person: to be allowed, or for an answer to their MCP server").answers::<Approvals>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let open = gateway.store.approvals(call.param("id"))?;
    Reply::ok(&Approvals { approvals: open.iter().map(ApprovalView::from).collect() })
}

const DECISION: Parameter<Either<Decision>> = Parameter::new(
    "decision",
    Either(&[("allow", Decision::Allow), ("deny", Decision::Deny)]),
    "`allow` or `deny`, what is asked about a tool",
);

const CHOICE: Parameter<Text> =
    Parameter::new("choice", Text, "the id of a choice, where the agent asks something");

pub(super) const DECIDE: Doc =
    Doc::new("Allow or deny a tool call that waits for it, answer yes or no to what its MCP server asks, or choose what to answer the agent")
        .takes(Takes::Object(&[&DECISION, &CHOICE]))
        .answers::<Decided>(&[200]);

pub(super) async fn decide(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let mut body = call.body.object().await?;
    let (decision, choice) = (body.get(&DECISION)?, body.get(&CHOICE)?);
    let (session, id) = (call.param("id"), call.param("approval"));
    gateway.store.session(session)?;
    let asked = gateway.store.approval(session, id)?.asked;
    let wanted = wanted(decision, choice.as_deref(), asked.question.as_ref())?;
    let decision = gateway.store.decide_approval(session, id, wanted).await?;
    if decision != wanted {
        let known = match decision {
            Decision::Allow => "was allowed before",
            Decision::Deny => "was denied before",
            Decision::Chosen(_) => "was answered before",
            Decision::Expired => "has expired",
        };
        return Err(Error::conflict(format!("Approval {id} {known}")));
    }
    Reply::ok(&Decided { id, decision: decision.into(), choice: choice.as_deref() })
}

/// What a request decides about a question.
///
/// # Errors
/// It does not answer that; says what does.
fn wanted(decision: Option<Decision>, choice: Option<&str>, question: Option<&Question>) -> Result<Decision> {
    match (question, decision, choice) {
        (None, Some(decision), None) => Ok(decision),
        (None, ..) => Err(Error::bad_request("decision is required, and nothing else: allow or deny")),
        (Some(question), None, Some(id)) if let Some(place) = question.place(id) => {
            Ok(Decision::Chosen(place))
        }
        (Some(question), ..) => {
            let ids: Vec<&str> = question.choices.iter().map(|choice| choice.id.as_str()).collect();
            let message = format!("choice is required, and nothing else: one of {}", ids.join(", "));
            Err(Error::bad_request(message))
        }
    }
}
