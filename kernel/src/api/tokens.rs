//! Tokens: made, listed, revoked.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::page;
use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::{Error, Result};
use prx_http::describe::Takes;
use prx_http::parameter::{Matching, Name, Number, Parameter, Words};
use prx_http::{Call, Doc, Minted, NewToken, Reply, Scope, duration, mint};
use prx_store::{Page, TokenRecord};

/// A token as it is shown: never its secret, nor what is kept of that.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub(crate) struct TokenView {
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
pub(crate) struct CreatedToken {
    token: String,
    #[serde(flatten)]
    shown: TokenView,
}

impl From<TokenRecord> for TokenView {
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

impl From<Minted> for CreatedToken {
    fn from(Minted { token, record }: Minted) -> Self {
        Self { token, shown: record.into() }
    }
}

/// What the audit log holds of a token that was made.
pub(crate) fn about(TokenRecord { name, scopes, expires_at, .. }: &TokenRecord) -> Value {
    json!({ "name": name, "scopes": scopes, "expires_at": expires_at.map(rfc3339) })
}

/// How long a token is good for that may do everything because nobody said what it may do: a day.
const UNSAID: &str = "24h";

/// What a request for a token means. Where nothing is said of scopes, it may do everything, for a day unless more is
/// asked for.
///
/// # Errors
/// 400 for a scope there is none of, for none at all, or for an expiry that is no duration.
pub(crate) fn new_token(
    name: Option<String>,
    scopes: Option<&[String]>,
    expires_in: Option<&str>,
) -> Result<NewToken> {
    let expires_in = expires_in.or_else(|| scopes.is_none().then_some(UNSAID));
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
pub(crate) struct TokenPage {
    tokens: Vec<TokenView>,
    total: usize,
}

impl From<Page<TokenRecord>> for TokenPage {
    fn from(page: Page<TokenRecord>) -> Self {
        Self { tokens: page.items.into_iter().map(TokenView::from).collect(), total: page.total }
    }
}

const NAME: Parameter<Name> = Parameter::new("name", Name, "what it is for");
const SCOPES: Parameter<Words> = Parameter::new(
    "scopes",
    Words(scopes),
    "what it may do; everything if not said, and then for a day if `expires_in` is not said either",
);
const EXPIRES_IN: Parameter<Matching> =
    Parameter::new("expires_in", Matching(duration::PATTERN), "how long it is good for, such as 30d");

pub(super) const CREATE: Doc = Doc::new("Make a token; it is shown this once")
    .takes(Takes::Object(&[&NAME, &SCOPES, &EXPIRES_IN]))
    .answers::<CreatedToken>(&[201]);

fn scopes() -> Vec<&'static str> {
    Scope::ALL.iter().map(|scope| scope.as_str()).collect()
}

pub(super) async fn create(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let mut fields = call.body.object().await?;
    let (name, scopes) = (fields.get(&NAME)?, fields.get(&SCOPES)?);
    let new = new_token(name, scopes.as_deref(), fields.get(&EXPIRES_IN)?.as_deref())?;
    for scope in &new.scopes {
        call.caller.require(*scope)?;
    }
    let minted = mint(&gateway.store, &gateway.base.clock, new).await?;
    let (id, details) = (minted.record.id.clone(), about(&minted.record));
    Ok(Reply::created(&CreatedToken::from(minted))?.holding_secret().noting(id, details))
}

const LIMIT: Parameter<Number> = Parameter::new("limit", page::LIMIT, "most tokens to return");
const OFFSET: Parameter<Number> = Parameter::new("offset", page::OFFSET, "tokens to leave out");

pub(super) const LIST: Doc =
    Doc::new("List tokens, without their secrets").query(&[&LIMIT, &OFFSET]).answers::<TokenPage>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let (limit, offset) = (call.query.get(&LIMIT)?, call.query.get(&OFFSET)?);
    Reply::ok(&TokenPage::from(gateway.store.tokens(limit, offset)?))
}

pub(super) const REVOKE: Doc = Doc::new("Revoke a token");

pub(super) async fn revoke(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    gateway.store.revoke_token(call.param("id")).await?;
    Ok(Reply::no_content())
}
