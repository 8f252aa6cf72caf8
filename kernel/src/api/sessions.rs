//! Sessions: opened, listed, looked at, ended.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::page;
use crate::gateway::Gateway;
use crate::settings::providers;
use prx_base::clock::rfc3339;
use prx_base::config::keys::provider_and_model;
use prx_base::error::{Code, Error, Result};
use prx_base::text::is_language_tag;
use prx_http::describe::Takes;
use prx_http::parameter::{AnyText, Name, Number, Object, OneOf, Parameter};
use prx_http::{Call, Caller, Doc, Reply, Scope};
use prx_store::{ANONYMOUS, NewSession, Session, SessionFilter, SessionStatus, Usage};

/// Largest metadata of a session, as JSON.
const MOST_METADATA: usize = 16 << 10;

/// A session as it was just opened.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewSession")]
struct OpenedSession<'a> {
    id: &'a str,
    channel: &'a str,
    user_id: &'a str,
    status: SessionStatus,
    created_at: String,
    /// What answers in it, as `provider/model`, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    /// Who answers in it, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    /// The language that is spoken in it, where that was said: of a channel's, the one that was heard of last.
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    metadata: &'a Value,
}

/// A session in a list.
#[derive(Serialize, JsonSchema)]
struct SessionSummary<'a> {
    id: &'a str,
    channel: &'a str,
    user_id: &'a str,
    status: SessionStatus,
    created_at: String,
    last_activity: String,
}

/// A session in detail.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
struct SessionView<'a> {
    #[serde(flatten)]
    listed: SessionSummary<'a>,
    turn_count: u64,
    token_usage: Usage,
    /// Tokens that it may still cost, where `agent.max_tokens_per_session` bounds them.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_left: Option<u64>,
    /// What answers in it, as `provider/model`, where that was said when it was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    /// Who answers in it, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    /// The language that is spoken in it, where that was said: of a channel's, the one that was heard of last.
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    metadata: &'a Value,
}

/// Part of the sessions there are.
#[derive(Serialize, JsonSchema)]
struct Sessions<'a> {
    sessions: Vec<SessionSummary<'a>>,
    total: usize,
}

impl<'a> From<&'a Session> for SessionSummary<'a> {
    fn from(session: &'a Session) -> Self {
        Self {
            id: &session.id,
            channel: &session.channel,
            user_id: &session.user_id,
            status: session.status,
            created_at: rfc3339(session.created_at),
            last_activity: rfc3339(session.last_activity),
        }
    }
}

const CHANNEL: Parameter<Name> = Parameter::new(
    "channel",
    Name,
    "what it came by; `api` if not said; a configured channel needs the scope admin",
);
const USER_ID: Parameter<Name> = Parameter::new("user_id", Name, "whose it is; `anonymous` if not said");
const METADATA: Parameter<Object> = Parameter::new("metadata", Object, "kept as it is; at most 16 KiB");
const MODEL: Parameter<Name> = Parameter::new(
    "model",
    Name,
    "what answers in it: `MODEL` of the configured provider, or `PROVIDER/MODEL`; the configured one if not said",
);

const AGENT: Parameter<Name> =
    Parameter::new("agent", Name, "who answers in it; as its channel says, or `default`, if not said");

const LANGUAGE: Parameter<Name> = Parameter::new(
    "language",
    Name,
    "the language that is spoken in it, as a BCP 47 tag such as `de` or `pt-BR`; what the agent is set to goes before it",
);

pub(super) const CREATE: Doc = Doc::new("Open a session")
    .takes(Takes::Object(&[&CHANNEL, &USER_ID, &METADATA, &MODEL, &AGENT, &LANGUAGE]))
    .answers::<OpenedSession>(&[201]);

pub(super) async fn create(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let mut fields = call.body.object().await?;
    let channel = fields.get(&CHANNEL)?.unwrap_or_else(|| "api".into());
    may_claim(&gateway, &call.caller, &channel)?;
    let new = NewSession {
        channel,
        user_id: fields.get(&USER_ID)?.unwrap_or_else(|| ANONYMOUS.into()),
        metadata: metadata(fields.get(&METADATA)?)?,
        conversation: None,
        model: fields.get(&MODEL)?.map(|text| model(&gateway, text)).transpose()?,
        agent: fields.get(&AGENT)?.map(|name| agent(&gateway, name)).transpose()?,
        language: fields.get(&LANGUAGE)?.map(language).transpose()?,
    };
    let session = gateway.store.create_session(new).await?;
    Reply::created(&OpenedSession {
        id: &session.id,
        channel: &session.channel,
        user_id: &session.user_id,
        status: session.status,
        created_at: rfc3339(session.created_at),
        model: session.model.as_deref(),
        agent: session.agent.as_deref(),
        language: session.language.as_deref(),
        metadata: &session.metadata,
    })
}

fn language(tag: String) -> Result<String> {
    if is_language_tag(&tag) {
        return Ok(tag);
    }
    Err(Error::bad_request(format!(
        "`language` is {tag:?}; it takes a BCP 47 tag: two to eight letters, and after a hyphen each further parts, such as \
         `de` or `pt-BR`"
    )))
}

/// The agent that is to answer.
pub(super) fn agent(gateway: &Gateway, name: String) -> Result<String> {
    let config = gateway.base.config.current();
    if config.agent(&name).is_some() {
        return Ok(name);
    }
    let all: Vec<String> = config.agents().map(|agent| agent.name).collect();
    Err(Error::bad_request(format!("there is no agent {name:?}; there are: {}", all.join(", "))))
}

/// The model that a session is to be answered by, as `provider/model`.
pub(super) fn model(gateway: &Gateway, text: String) -> Result<String> {
    let config = gateway.base.config.current();
    if !text.contains('/') {
        return Ok(format!("{}/{text}", config.provider.name));
    }
    let plugins = gateway.plugins.known();
    let providers = providers(&config.components, &plugins);
    if provider_and_model(&text).is_some_and(|(provider, _)| providers.contains(provider)) {
        return Ok(text);
    }
    let all = providers.into_iter().collect::<Vec<_>>().join(", ");
    Err(Error::bad_request(format!(
        "`model` is {text:?}, which begins with no provider and its model; there are the providers: {all}. A model whose own \
         name has a slash stands behind its provider: {:?}",
        format!("{}/{text}", config.provider.name)
    )))
}

/// Whoever opens a session of a channel speaks for its users, and is told what the agent remembers of them. That is for
/// those who may do everything, also while the channel is not configured.
pub(super) fn may_claim(gateway: &Gateway, caller: &Caller, channel: &str) -> Result<()> {
    let configured = gateway.base.config.current().components.channels_config.contains_key(channel);
    if caller.may(Scope::ADMIN) || !(configured || gateway.store.channel_state(channel)?.is_some()) {
        return Ok(());
    }
    Err(Error::new(
        Code::Forbidden,
        format!(
            "`channel` is {channel:?}, a channel whose users are its own: only a token with the scope admin opens sessions \
             for them; leave `channel` out, or name it after your own program"
        ),
    ))
}

pub(super) fn metadata(given: Option<Map<String, Value>>) -> Result<Value> {
    let metadata = Value::Object(given.unwrap_or_default());
    // Lists of sessions read it with each of them.
    match metadata.to_string().len() {
        ..=MOST_METADATA => Ok(metadata),
        more => Err(Error::bad_request(format!(
            "`metadata` must be at most {MOST_METADATA} bytes of JSON; it is {more}"
        ))),
    }
}

const STATUS: Parameter<OneOf<SessionStatus>> = Parameter::new(
    "status",
    OneOf {
        words: &[
            ("active", SessionStatus::Active),
            ("idle", SessionStatus::Idle),
            ("terminated", SessionStatus::Terminated),
        ],
        default: SessionStatus::Active,
    },
    "only sessions in this state",
);
const OF_CHANNEL: Parameter<AnyText> = Parameter::new("channel", AnyText, "only sessions of this channel");
const LIMIT: Parameter<Number> = Parameter::new("limit", page::LIMIT, "most sessions to return");
const OFFSET: Parameter<Number> = Parameter::new("offset", page::OFFSET, "sessions to leave out");

pub(super) const LIST: Doc =
    Doc::new("List sessions").query(&[&STATUS, &OF_CHANNEL, &LIMIT, &OFFSET]).answers::<Sessions>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let filter = SessionFilter {
        status: call.query.get(&STATUS)?,
        channel: call.query.get(&OF_CHANNEL)?.map(str::to_owned),
    };
    let (limit, offset) = (call.query.get(&LIMIT)?, call.query.get(&OFFSET)?);
    let page = gateway.store.sessions(&filter, limit, offset)?;
    Reply::ok(&Sessions {
        sessions: page.items.iter().map(SessionSummary::from).collect(),
        total: page.total,
    })
}

pub(super) const SHOW: Doc = Doc::new("Show a session").answers::<SessionView>(&[200]);

pub(super) async fn show(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let session = gateway.store.session(call.param("id"))?;
    let budget = Some(gateway.base.config.current().agent.max_tokens_per_session).filter(|most| *most > 0);
    Reply::ok(&SessionView {
        listed: SessionSummary::from(&session),
        turn_count: session.turn_count,
        token_usage: session.token_usage,
        model: session.model.as_deref(),
        agent: session.agent.as_deref(),
        language: session.language.as_deref(),
        tokens_left: budget.map(|most| most.saturating_sub(session.token_usage.total())),
        metadata: &session.metadata,
    })
}

/// Whether there was anything to cancel.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Cancelled")]
struct Cancelled<'a> {
    id: &'a str,
    cancelled: bool,
}

pub(super) const CANCEL: Doc =
    Doc::new("Stop the turn at work; what it has said becomes the reply").answers::<Cancelled>(&[200]);

pub(super) async fn cancel(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let id = call.param("id");
    Reply::ok(&Cancelled { id, cancelled: gateway.turns.cancel(id).await? })
}

pub(super) const END: Doc = Doc::new("Terminate a session").fails(&[Code::Conflict]);

pub(super) async fn end(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    gateway.turns.end_session(call.param("id")).await?;
    Ok(Reply::no_content())
}
