//! Questions that a turn asks before it calls a tool.

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
use prx_store::{Approval, Decision};

/// A call that waits to be allowed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Approval")]
pub(super) struct ApprovalView<'a> {
    id: &'a str,
    call: &'a str,
    tool: &'a str,
    arguments: &'a Value,
    asked_at: String,
    expires_at: String,
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
        }
    }
}

pub(super) const LIST: Doc =
    Doc::new("List the tool calls of a session that wait to be allowed").answers::<Approvals>(&[200]);

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

pub(super) const DECIDE: Doc = Doc::new("Allow or deny a tool call that waits for it")
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
