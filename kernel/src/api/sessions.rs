//! Sessions: opened, listed, looked at, ended.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::MOST_OFFSET;
use crate::gateway::Kernel;
use prx_base::clock::rfc3339;
use prx_base::error::{Code, Error, Result};
use prx_http::describe::{Field, Shape, Takes};
use prx_http::{Call, Doc, Reply};
use prx_store::{ANONYMOUS, NewSession, Session, SessionFilter, SessionStatus, Usage};

/// Largest metadata of a session, as JSON.
const MOST_METADATA: usize = 16 << 10;

/// A session as it was just opened.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewSession")]
struct Opened<'a> {
    id: &'a str,
    channel: &'a str,
    user_id: &'a str,
    status: SessionStatus,
    created_at: String,
    metadata: &'a Value,
}

/// A session in a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SessionSummary")]
struct Listed<'a> {
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
struct Shown<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    turn_count: u64,
    token_usage: Usage,
    /// Tokens that it may still cost, where `agent.max_tokens_per_session` bounds them.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_left: Option<u64>,
    metadata: &'a Value,
}

/// Part of the sessions there are.
#[derive(Serialize, JsonSchema)]
struct Sessions<'a> {
    sessions: Vec<Listed<'a>>,
    total: usize,
}

impl<'a> From<&'a Session> for Listed<'a> {
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

pub(super) const CREATE: Doc = Doc::new("Open a session")
    .takes(Takes::Object(&[
        Field::new("channel", Shape::Name, "what it came by; `api` if not said"),
        Field::new("user_id", Shape::Name, "whose it is; `anonymous` if not said"),
        Field::new("metadata", Shape::Object, "kept as it is; at most 16 KiB"),
    ]))
    .answers::<Opened>(&[201]);

pub(super) async fn create(kernel: Arc<Kernel>, mut call: Call) -> Result<Reply> {
    let mut fields = call.body.object().await?;
    let new = NewSession {
        channel: fields.name("channel")?.unwrap_or_else(|| "api".into()),
        user_id: fields.name("user_id")?.unwrap_or_else(|| ANONYMOUS.into()),
        metadata: metadata(fields.object("metadata")?)?,
        conversation: None,
    };
    let session = kernel.base.store.create_session(new).await?;
    Reply::created(&Opened {
        id: &session.id,
        channel: &session.channel,
        user_id: &session.user_id,
        status: session.status,
        created_at: rfc3339(session.created_at),
        metadata: &session.metadata,
    })
}

fn metadata(given: Option<Map<String, Value>>) -> Result<Value> {
    let metadata = Value::Object(given.unwrap_or_default());
    // Lists of sessions read it with each of them.
    match metadata.to_string().len() {
        ..=MOST_METADATA => Ok(metadata),
        more => Err(Error::bad_request(format!(
            "`metadata` must be at most {MOST_METADATA} bytes of JSON; it is {more}"
        ))),
    }
}

pub(super) const LIST: Doc = Doc::new("List sessions")
    .query(&[
        Field::new("status", Shape::Word(&["active", "idle", "terminated"]), "only sessions in this state"),
        Field::new("channel", Shape::AnyText, "only sessions of this channel"),
        Field::new("limit", Shape::Number(1, 500, 50), "most sessions to return"),
        Field::new("offset", Shape::Number(0, MOST_OFFSET, 0), "sessions to leave out"),
    ])
    .answers::<Sessions>(&[200]);

pub(super) async fn list(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let accepted = [
        ("active", SessionStatus::Active),
        ("idle", SessionStatus::Idle),
        ("terminated", SessionStatus::Terminated),
    ];
    let filter = SessionFilter {
        status: call.query.word("status", &accepted, SessionStatus::Active)?,
        channel: call.query.text("channel")?.map(str::to_owned),
    };
    let limit = call.query.number("limit", 1..=500, 50)?;
    let offset = call.query.number("offset", 0..=MOST_OFFSET, 0)?;
    let page = kernel.base.store.sessions(&filter, limit, offset)?;
    Reply::ok(&Sessions { sessions: page.items.iter().map(Listed::from).collect(), total: page.total })
}

pub(super) const SHOW: Doc = Doc::new("Show a session").answers::<Shown>(&[200]);

pub(super) async fn show(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let session = kernel.base.store.session(call.param("id"))?;
    let budget = Some(kernel.base.config.current().agent.max_tokens_per_session).filter(|most| *most > 0);
    Reply::ok(&Shown {
        listed: Listed::from(&session),
        turn_count: session.turn_count,
        token_usage: session.token_usage,
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

pub(super) async fn cancel(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let id = call.param("id");
    Reply::ok(&Cancelled { id, cancelled: kernel.turns.cancel(id).await? })
}

pub(super) const END: Doc = Doc::new("Terminate a session").fails(&[Code::Conflict]);

pub(super) async fn end(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    kernel.turns.end_session(call.param("id")).await?;
    Ok(Reply::no_content())
}
