//! The configuration: shown without its secrets, changed by dotted keys.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{ETAG, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::gateway::Gateway;
use crate::settings::keys::KeyView;
use prx_base::error::{Code, Error, Result};
use prx_http::describe::Takes;
use prx_http::parameter::{AnyText, Parameter};
use prx_http::{Call, Doc, Reply};

pub(super) const SHOW: Doc =
    Doc::new("Show the configuration, without its secrets").answers::<Map<String, Value>>(&[200]);

/// The keys that are shown as they will be after a restart, and not as they are in force.
const RESTART_DUE: HeaderName = HeaderName::from_static("x-restart-due");

pub(super) async fn show(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let tag = tag(&gateway, gateway.settings.revision());
    let tag = HeaderValue::try_from(tag).map_err(Error::internal)?;
    let reply = Reply::ok(&gateway.settings.redacted()?)?.with(ETAG, tag);
    match gateway.settings.restart_due().join(", ") {
        keys if keys.is_empty() => Ok(reply),
        keys => Ok(reply.with(RESTART_DUE, HeaderValue::try_from(keys).map_err(Error::internal)?)),
    }
}

/// The keys that were set, and whether one of them waits for a restart.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UpdatedConfig")]
struct Updated {
    updated: Vec<String>,
    reload_required: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConfigKeys")]
struct Keys {
    keys: Vec<KeyView>,
}

pub(super) const KEYS: Doc =
    Doc::new("List the keys of the configuration: what they take, and who has set them")
        .answers::<Keys>(&[200]);

pub(super) async fn keys(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    Reply::ok(&Keys { keys: gateway.settings.keys().await })
}

const IF_MATCH: Parameter<AnyText> =
    Parameter::new("If-Match", AnyText, "only if the configuration still has this `ETag`");

pub(super) const UPDATE: Doc = Doc::new("Set dotted keys of the configuration, all or none")
    .headers(&[&IF_MATCH])
    .takes(Takes::AnyObject)
    .answers::<Updated>(&[200])
    .fails(&[Code::Conflict]);

/// Some changes take the scope `admin`: see `settings/rights.rs`.
pub(super) async fn update(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let changes = call.body.object().await?.all();
    let unchanged_since = unchanged_since(&gateway, &call.headers);
    let done = gateway.settings.patch(&changes, unchanged_since, &call.caller).await?;
    let keys = json!({ "keys": done.updated });
    let reply = Reply::ok(&Updated { updated: done.updated, reload_required: done.reload_required })?;
    let reply = reply.noting("", keys);
    let tag = HeaderValue::try_from(tag(&gateway, done.revision)).map_err(Error::internal)?;
    Ok(reply.with(ETAG, tag))
}

/// Revisions count from the start of the gateway.
fn tag(gateway: &Gateway, revision: u64) -> String {
    format!("\"{:x}-{revision}\"", gateway.process.started.as_millisecond())
}

/// The revision that `If-Match` names; one that never was, if it names none of this gateway.
fn unchanged_since(gateway: &Gateway, headers: &HeaderMap) -> Option<u64> {
    let mut given = headers.get_all(IF_MATCH.name()).iter().peekable();
    given.peek()?;
    let revision = gateway.settings.revision();
    let current = tag(gateway, revision);
    let fits = |tag: &str| tag == "*" || tag == current;
    let fits =
        given.flat_map(|value| value.to_str().unwrap_or_default().split(',')).any(|tag| fits(tag.trim()));
    Some(if fits { revision } else { 0 })
}
