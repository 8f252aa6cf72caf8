//! Questions that a turn asks before it calls a tool.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::gateway::Kernel;
use prx_base::clock::rfc3339;
use prx_base::error::{Error, Result};
use prx_http::describe::{Field, Shape, Takes};
use prx_http::{Call, Doc, Reply};
use prx_store::{Approval, Decision};

/// A call that waits to be allowed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Approval")]
pub(super) struct Shown<'a> {
    id: &'a str,
    call: &'a str,
    tool: &'a str,
    arguments: &'a Value,
    asked_at: String,
    expires_at: String,
}

#[derive(Serialize, JsonSchema)]
struct Approvals<'a> {
    approvals: Vec<Shown<'a>>,
}

/// What was decided.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Decided")]
struct Decided<'a> {
    id: &'a str,
    decision: Decision,
}

impl<'a> From<&'a Approval> for Shown<'a> {
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

pub(super) async fn list(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let open = kernel.base.store.approvals(call.param("id"))?;
    Reply::ok(&Approvals { approvals: open.iter().map(Shown::from).collect() })
}

pub(super) const DECIDE: Doc = Doc::new("Allow or deny a tool call that waits for it")
    .takes(Takes::Object(&[
        Field::new("decision", Shape::Matching("^(allow|deny)$"), "`allow` or `deny`").required()
    ]))
    .answers::<Decided>(&[200]);

pub(super) async fn decide(kernel: Arc<Kernel>, mut call: Call) -> Result<Reply> {
    let wanted = match call.body.object().await?.required_text("decision")?.as_str() {
        "allow" => Decision::Allow,
        "deny" => Decision::Deny,
        _ => return Err(Error::bad_request("`decision` must be \"allow\" or \"deny\"")),
    };
    let (session, id) = (call.param("id"), call.param("approval"));
    kernel.base.store.session(session)?;
    let decision = kernel.base.store.decide_approval(session, id, wanted).await?;
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
