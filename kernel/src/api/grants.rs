//! What plugins ask for, and what the operator grants them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::gateway::Gateway;
use prx_base::config::Grant;
use prx_base::config::keys::GRANT_KEYS;
use prx_base::error::{Code, Error, Result};
use prx_host::Review;
use prx_host::manifest::{Permissions, valid_name};
use prx_http::describe::Takes;
use prx_http::{Call, Doc, Reply};

/// What a plugin asks for, what it is granted, what takes effect, and what is missing.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Grants")]
struct GrantsView {
    name: String,
    requested: Option<Permissions>,
    granted: Grant,
    effective: Permissions,
    missing: Option<Grant>,
}

impl GrantsView {
    fn of(name: &str, Review { requested, granted, effective, missing }: Review) -> Self {
        Self { name: name.into(), requested, granted, effective, missing }
    }
}

pub(super) const SHOW: Doc =
    Doc::new("Show what a plugin asks for and what it is granted").answers::<GrantsView>(&[200]);

pub(super) async fn show(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let name = call.param("name");
    Reply::ok(&GrantsView::of(name, gateway.plugins.review(name)?))
}

pub(super) const REPLACE: Doc = Doc::new("Grant a plugin this and nothing else")
    .takes(Takes::Settings(GRANT_KEYS))
    .answers::<GrantsView>(&[200])
    .fails(&[Code::Conflict]);

/// Writes the plugin's table in the configuration, as a PATCH of it would.
pub(super) async fn replace(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let fields = call.body.object().await?.all();
    let name = call.param("name");
    // Another name could reach into another table.
    if !valid_name(name) {
        return Err(Error::not_found("Plugin", name));
    }
    gateway.settings.patch(&changes(name, fields)?, None, &call.caller).await?;
    let view = GrantsView::of(name, gateway.plugins.review(name)?);
    let granted = json!({ "granted": view.granted });
    Ok(Reply::ok(&view)?.noting(name, granted))
}

/// Every key that a grant can have: what isn't given is taken out.
fn changes(name: &str, fields: Map<String, Value>) -> Result<Map<String, Value>> {
    let known = |key: &String| GRANT_KEYS.iter().any(|known| known.path == key);
    if let Some(unknown) = fields.keys().find(|key| !known(key)) {
        let keys: Vec<&str> = GRANT_KEYS.iter().map(|known| known.path).collect();
        let message = format!("`{unknown}` can't be granted; there are {}", keys.join(", "));
        return Err(Error::bad_request(message));
    }
    let nothing = fields.values().all(Value::is_null);
    if nothing {
        return Ok(Map::from_iter([(format!("grants.{name}"), Value::Null)]));
    }
    let value = |key: &str| fields.get(key).cloned().unwrap_or(Value::Null);
    Ok(GRANT_KEYS.iter().map(|key| (format!("grants.{name}.{}", key.path), value(key.path))).collect())
}
