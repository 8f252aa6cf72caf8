//! Tokens: made, listed, revoked.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::clock::rfc3339;
use crate::error::Result;
use crate::http::describe::{Field, Shape, Takes};
use crate::http::{Call, Doc, Minted, NewToken, Reply, Scope, duration, mint};
use crate::kernel::Kernel;
use crate::store::TokenRecord;

/// A token as it is shown: never its secret, nor what is kept of that.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub(crate) struct Shown {
    id: String,
    name: String,
    scopes: Vec<String>,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    revoked_at: Option<String>,
}

/// A token as it is shown once: with its secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewToken")]
pub(crate) struct Made {
    token: String,
    #[serde(flatten)]
    shown: Shown,
}

impl From<TokenRecord> for Shown {
    fn from(record: TokenRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            scopes: record.scopes,
            created_at: rfc3339(record.created_at),
            expires_at: record.expires_at.map(rfc3339),
            last_used_at: record.last_used_at.map(rfc3339),
            revoked_at: record.revoked_at.map(rfc3339),
        }
    }
}

impl From<Minted> for Made {
    fn from(Minted { token, record }: Minted) -> Self {
        Self { token, shown: record.into() }
    }
}

/// What a request for a token means; without scopes it may do everything.
///
/// # Errors
/// 400 for a scope there is none of or an expiry that is no duration.
pub(crate) fn wanted(name: Option<String>, scopes: &[String], expires_in: Option<&str>) -> Result<NewToken> {
    let scopes: Vec<_> = scopes.iter().map(|scope| Scope::parse(scope)).collect::<Result<_>>()?;
    Ok(NewToken {
        name: name.unwrap_or_default(),
        scopes: if scopes.is_empty() { vec![Scope::ADMIN] } else { scopes },
        expires_in: expires_in.map(|text| duration::parse("expires_in", text)).transpose()?,
    })
}

#[derive(Serialize, JsonSchema)]
struct Listed {
    tokens: Vec<Shown>,
}

pub(super) const CREATE: Doc = Doc::new("Make a token; it is shown this once")
    .takes(Takes::Object(&[
        Field::new("name", Shape::Text, "what it is for"),
        Field::new("scopes", Shape::Words(scopes), "what it may do; everything if not said"),
        Field::new("expires_in", Shape::Matching(duration::PATTERN), "how long it is good for, such as 30d"),
    ]))
    .answers::<Made>(&[201]);

fn scopes() -> Vec<&'static str> {
    Scope::ALL.iter().map(|scope| scope.as_str()).collect()
}

pub(super) async fn create(kernel: Arc<Kernel>, mut call: Call) -> Result<Reply> {
    let mut fields = call.body.object().await?;
    let (name, scopes) = (fields.text("name")?, fields.texts("scopes")?.unwrap_or_default());
    let new = wanted(name, &scopes, fields.text("expires_in")?.as_deref())?;
    for scope in &new.scopes {
        call.caller.require(*scope)?;
    }
    Ok(Reply::created(&Made::from(mint(&kernel.base.store, &kernel.base.clock, new).await?))?
        .holding_secret())
}

pub(super) const LIST: Doc = Doc::new("List tokens, without their secrets").answers::<Listed>(&[200]);

pub(super) async fn list(kernel: Arc<Kernel>, _: Call) -> Result<Reply> {
    Reply::ok(&Listed { tokens: kernel.base.store.tokens()?.into_iter().map(Shown::from).collect() })
}

pub(super) const REVOKE: Doc = Doc::new("Revoke a token");

pub(super) async fn revoke(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    kernel.base.store.revoke_token(call.param("id")).await?;
    Ok(Reply::no_content())
}
