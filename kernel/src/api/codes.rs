//! One-time codes, by which a browser gets a token, and what a token is.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::tokens::{CreatedToken, about};
use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::{Code, Result};
use prx_http::describe::Takes;
use prx_http::parameter::{Parameter, Required, Text};
use prx_http::{Call, Caller, Doc, Reply, Scope};

/// A code as it is shown once.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LoginCode")]
struct CodeView {
    code: String,
    expires_at: String,
    /// Where the gateway listens, as it sees that itself: a proxy in front of it has another address.
    url: String,
}

/// What a token is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenSelf")]
struct SelfView {
    /// Null for the owner of the data directory.
    id: Option<String>,
    name: String,
    scopes: Vec<String>,
    expires_at: Option<String>,
}

pub(super) const MAKE: Doc =
    Doc::new("Make a code that is exchanged for a token, once, within a minute").answers::<CodeView>(&[201]);

pub(super) async fn make(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let code = gateway.codes.make(&gateway.store, &gateway.base.clock, &call.caller)?;
    let (expires_at, url) = (rfc3339(code.expires_at), gateway.process.url.clone());
    Ok(Reply::created(&CodeView { code: code.code, expires_at, url })?.holding_secret())
}

const CODE: Parameter<Required<Text>> =
    Parameter::new("code", Text, "a code that was made within the last minute").required();

pub(super) const EXCHANGE: Doc =
    Doc::new("Exchange a code for a token with the scopes of the one that made it; it is shown this once")
        .takes(Takes::Object(&[&CODE]))
        .answers::<CreatedToken>(&[201])
        .fails(&[Code::Unauthorized]);

pub(super) async fn exchange(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let code = call.body.object().await?.get(&CODE)?;
    let minted = gateway.codes.exchange(&gateway.store, &gateway.base.clock, &code).await?;
    let (id, mut details) = (minted.record.id.clone(), about(&minted.record));
    details["maker"] = minted.record.maker.clone().into();
    Ok(Reply::created(&CreatedToken::from(minted))?.holding_secret().noting(id, details))
}

pub(super) const SHOW_SELF: Doc =
    Doc::new("Show what the token of this request is").answers::<SelfView>(&[200]);

pub(super) async fn show_self(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let Caller::Token { id, scopes } = call.caller else {
        let scopes = vec![Scope::ADMIN.as_str().to_owned()];
        return Reply::ok(&SelfView { id: None, name: "owner".to_owned(), scopes, expires_at: None });
    };
    let record = gateway.store.token(&id)?;
    let expires_at = record.as_ref().and_then(|record| record.expires_at).map(rfc3339);
    let scopes = scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    let name = record.map(|record| record.name).unwrap_or_default();
    Reply::ok(&SelfView { id: Some(id), name, scopes, expires_at })
}
