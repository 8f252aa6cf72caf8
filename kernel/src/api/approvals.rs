//! Questions that a turn asks: before it calls a tool, and for an MCP server while that works on a call.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::{Error, Result};
use prx_http::describe::Takes;
use prx_http::parameter::{Either, Parameter, Required};
use prx_http::{Call, Doc, Reply};
use prx_store::{Approval, Decision, Elicitation};

/// A call that waits for a person.
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
    decision: Decision,
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
        }
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

const DECISION: Parameter<Required<Either<Decision>>> = Parameter::new(
    "decision",
    Either(&[("allow", Decision::Allow), ("deny", Decision::Deny)]),
    "`allow` or `deny`",
)
.required();

pub(super) const DECIDE: Doc =
    Doc::new("Allow or deny a tool call that waits for it, or answer yes or no to what its MCP server asks")
        .takes(Takes::Object(&[&DECISION]))
        .answers::<Decided>(&[200]);

pub(super) async fn decide(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let wanted = call.body.object().await?.get(&DECISION)?;
    let (session, id) = (call.param("id"), call.param("approval"));
    gateway.store.session(session)?;
    let decision = gateway.store.decide_approval(session, id, wanted).await?;
    if decision != wanted {
        let known = match decision {
            Decision::Allow => "was allowed before",
            Decision::Deny => "was denied before",
            Decision::Expired => "has expired",
        };
        return Err(Error::conflict(format!("Approval {id} {known}")));
    }
    Reply::ok(&Decided { id, decision })
}
