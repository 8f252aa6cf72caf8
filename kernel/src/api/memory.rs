//! What the agent remembers of its users.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::page;
use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::{Code, Error, Result};
use prx_http::describe::Takes;
use prx_http::parameter::{AnyText, Name, Number, Parameter, Required, Text, Texts};
use prx_http::{Call, Doc, Reply};
use prx_store::{MemoryEntry, Owner};

/// A memory.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Memory")]
struct MemoryView {
    id: String,
    channel: String,
    user_id: String,
    text: String,
    tags: Vec<String>,
    session_id: Option<String>,
    created_at: String,
}

impl From<MemoryEntry> for MemoryView {
    fn from(MemoryEntry { id, owner, text, tags, session, created_at }: MemoryEntry) -> Self {
        let Owner { channel, user_id } = owner;
        Self { id, channel, user_id, text, tags, session_id: session, created_at: rfc3339(created_at) }
    }
}

#[derive(Serialize, JsonSchema)]
struct Memories {
    memories: Vec<MemoryView>,
}

const OF_USER: Parameter<Required<Text>> =
    Parameter::new("user_id", Text, "whose memories").required_or("must say whose memories to list");
const IN_CHANNEL: Parameter<AnyText> =
    Parameter::new("channel", AnyText, "where the user has that id; `api` if not said");
const QUERY: Parameter<AnyText> =
    Parameter::new("query", AnyText, "words to look for; the most fitting come first, else the newest");
const LIMIT: Parameter<Number> = Parameter::new("limit", page::LIMIT, "most memories to return");

pub(super) const LIST: Doc = Doc::new("List what is remembered of a user, or what of it fits a query")
    .query(&[&OF_USER, &IN_CHANNEL, &QUERY, &LIMIT])
    .answers::<Memories>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let limit = call.query.get(&LIMIT)?;
    let (channel, query) = (call.query.get(&IN_CHANNEL)?, call.query.get(&QUERY)?);
    let owner = owner(channel, call.query.get(&OF_USER)?);
    let found = match query {
        Some(query) => gateway.memory.recall(&owner, query, limit)?,
        None => gateway.store.memories(&owner, limit)?,
    };
    Reply::ok(&Memories { memories: found.into_iter().map(MemoryView::from).collect() })
}

const USER_ID: Parameter<Required<Name>> = Parameter::new("user_id", Name, "whose memory").required();
const CHANNEL: Parameter<Name> =
    Parameter::new("channel", Name, "where the user has that id; `api` if not said");
const TEXT: Parameter<Required<Text>> =
    Parameter::new("text", Text, "what, in at most 4096 bytes").required();
const TAGS: Parameter<Texts> = Parameter::new("tags", Texts, "further words that it is found by");

pub(super) const CREATE: Doc = Doc::new("Remember something of a user")
    .takes(Takes::Object(&[&USER_ID, &CHANNEL, &TEXT, &TAGS]))
    .answers::<MemoryView>(&[201])
    .fails(&[Code::Conflict]);

pub(super) async fn create(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let mut fields = call.body.object().await?;
    let owner = owner(fields.get(&CHANNEL)?.as_deref(), &fields.get(&USER_ID)?);
    let text = fields.get(&TEXT)?;
    let tags = fields.get(&TAGS)?.unwrap_or_default();
    Reply::created(&MemoryView::from(gateway.memory.remember(&owner, &text, tags, None).await?))
}

pub(super) const REMOVE: Doc = Doc::new("Forget something");

pub(super) async fn remove(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let id = call.param("id");
    let unknown = || Error::not_found("Memory", id);
    let owner = gateway.store.memory_owner(id)?.ok_or_else(unknown)?;
    match gateway.memory.forget(&owner, id).await? {
        true => Ok(Reply::no_content()),
        false => Err(unknown()),
    }
}

fn owner(channel: Option<&str>, user_id: &str) -> Owner {
    Owner { channel: channel.unwrap_or("api").into(), user_id: user_id.into() }
}
