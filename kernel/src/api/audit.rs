//! The audit log: who changed what.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::page;
use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::Result;
use prx_http::parameter::{AnyText, Number, Parameter};
use prx_http::{Call, Doc, Reply};
use prx_store::{Actor, AuditEntry, AuditFilter, Deed};

/// One thing that was done.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct EntryView {
    id: String,
    at: String,
    actor: Actor,
    token_id: Option<String>,
    address: Option<String>,
    request_id: Option<String>,
    action: String,
    target: String,
    details: Value,
}

/// Part of the audit log, newest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Audit")]
struct AuditView {
    entries: Vec<EntryView>,
    /// All there are, whether they fit or not.
    total: u64,
    /// The `before` to go on with; null at the end.
    next: Option<String>,
}

impl From<AuditEntry> for EntryView {
    fn from(AuditEntry { id, at, deed }: AuditEntry) -> Self {
        let Deed { actor, token, address, request, action, target, details } = deed;
        Self {
            id,
            at: rfc3339(at),
            actor,
            token_id: token,
            address,
            request_id: request,
            action,
            target,
            details,
        }
    }
}

const LIMIT: Parameter<Number> = Parameter::new("limit", page::LIMIT, "most entries to return");
const BEFORE: Parameter<AnyText> =
    Parameter::new("before", AnyText, "only entries before the one with this id");
const ACTION: Parameter<AnyText> =
    Parameter::new("action", AnyText, "only this, such as `hook.created`, or `hook` for all about hooks");
const TOKEN: Parameter<AnyText> = Parameter::new("token_id", AnyText, "only what was done with this token");
const TARGET: Parameter<AnyText> = Parameter::new("target", AnyText, "only what was done to this id or name");

pub(super) const LIST: Doc = Doc::new("List who changed what of the gateway, newest first")
    .query(&[&LIMIT, &BEFORE, &ACTION, &TOKEN, &TARGET])
    .answers::<AuditView>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let limit = call.query.get(&LIMIT)?;
    let text = |parameter: &Parameter<AnyText>| {
        Ok(call.query.get(parameter)?.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let filter = AuditFilter {
        action: text(&ACTION)?,
        token: text(&TOKEN)?,
        target: text(&TARGET)?,
        before: text(&BEFORE)?,
    };
    let page = gateway.store.audit(&filter, limit)?;
    let entries = page.entries.into_iter().map(EntryView::from).collect();
    Reply::ok(&AuditView { entries, total: page.total, next: page.next })
}
