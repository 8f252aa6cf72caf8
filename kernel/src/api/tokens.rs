//! Tokens: made, listed, revoked.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::MOST_OFFSET;
use crate::gateway::Kernel;
use prx_base::clock::rfc3339;
use prx_base::error::{Error, Result};
use prx_http::describe::{Field, Shape, Takes};
use prx_http::{Call, Doc, Minted, NewToken, Reply, Scope, duration, mint};
use prx_store::{Page, TokenRecord};

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

/// What a request for a token means; where nothing is said of scopes, it may do everything.
///
/// # Errors
/// 400 for a scope there is none of, for none at all, or for an expiry that is no duration.
pub(crate) fn wanted(
    name: Option<String>,
    scopes: Option<&[String]>,
    expires_in: Option<&str>,
) -> Result<NewToken> {
    let scopes = match scopes {
        None => vec![Scope::ADMIN],
        // Whoever worked out that nothing is to be allowed does not mean everything.
        Some([]) => return Err(Error::bad_request("`scopes` must hold one scope at least, or be left out")),
        Some(scopes) => scopes.iter().map(|scope| Scope::parse(scope)).collect::<Result<_>>()?,
    };
    Ok(NewToken {
        name: name.unwrap_or_default(),
        scopes,
        expires_in: expires_in.map(|text| duration::parse("expires_in", text)).transpose()?,
    })
}

/// Part of the tokens there are, oldest first.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tokens")]
pub(crate) struct Listed {
    tokens: Vec<Shown>,
    total: usize,
}

impl From<Page<TokenRecord>> for Listed {
    fn from(page: Page<TokenRecord>) -> Self {
        Self { tokens: page.items.into_iter().map(Shown::from).collect(), total: page.total }
    }
}

pub(super) const CREATE: Doc = Doc::new("Make a token; it is shown this once")
    .takes(Takes::Object(&[
        Field::new("name", Shape::Name, "what it is for"),
        Field::new("scopes", Shape::Words(scopes), "what it may do; everything if not said"),
        Field::new("expires_in", Shape::Matching(duration::PATTERN), "how long it is good for, such as 30d"),
    ]))
    .answers::<Made>(&[201]);

fn scopes() -> Vec<&'static str> {
    Scope::ALL.iter().map(|scope| scope.as_str()).collect()
}

pub(super) async fn create(kernel: Arc<Kernel>, mut call: Call) -> Result<Reply> {
    let mut fields = call.body.object().await?;
    let (name, scopes) = (fields.name("name")?, fields.texts("scopes")?);
    let new = wanted(name, scopes.as_deref(), fields.text("expires_in")?.as_deref())?;
    for scope in &new.scopes {
        call.caller.require(*scope)?;
    }
    Ok(Reply::created(&Made::from(mint(&kernel.base.store, &kernel.base.clock, new).await?))?
        .holding_secret())
}

pub(super) const LIST: Doc = Doc::new("List tokens, without their secrets")
    .query(&[
        Field::new("limit", Shape::Number(1, 500, 50), "most tokens to return"),
        Field::new("offset", Shape::Number(0, MOST_OFFSET, 0), "tokens to leave out"),
    ])
    .answers::<Listed>(&[200]);

pub(super) async fn list(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let limit = call.query.number("limit", 1..=500, 50)?;
    let offset = call.query.number("offset", 0..=MOST_OFFSET, 0)?;
    Reply::ok(&Listed::from(kernel.base.store.tokens(limit, offset)?))
}

pub(super) const REVOKE: Doc = Doc::new("Revoke a token");

pub(super) async fn revoke(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    kernel.base.store.revoke_token(call.param("id")).await?;
    Ok(Reply::no_content())
}
