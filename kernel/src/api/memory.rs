//! What the agent remembers of its users.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::gateway::Kernel;
use prx_base::clock::rfc3339;
use prx_base::error::{Code, Error, Result};
use prx_http::describe::{Field, Shape, Takes};
use prx_http::{Call, Doc, Reply};
use prx_store::{MemoryEntry, Owner};

/// A memory.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Memory")]
struct Shown {
    id: String,
    channel: String,
    user_id: String,
    text: String,
    tags: Vec<String>,
    session_id: Option<String>,
    created_at: String,
}

impl From<MemoryEntry> for Shown {
    fn from(MemoryEntry { id, owner, text, tags, session, created_at }: MemoryEntry) -> Self {
        let Owner { channel, user_id } = owner;
        Self { id, channel, user_id, text, tags, session_id: session, created_at: rfc3339(created_at) }
    }
}

#[derive(Serialize, JsonSchema)]
struct Memories {
    memories: Vec<Shown>,
}

pub(super) const LIST: Doc = Doc::new("List what is remembered of a user, or what of it fits a query")
    .query(&[
        Field::new("user_id", Shape::Text, "whose memories").required(),
        Field::new("channel", Shape::AnyText, "where the user has that id; `api` if not said"),
        Field::new(
            "query",
            Shape::AnyText,
            "words to look for; the most fitting come first, else the newest",
        ),
        Field::new("limit", Shape::Number(1, 500, 50), "most memories to return"),
    ])
    .answers::<Memories>(&[200]);

pub(super) async fn list(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let limit = call.query.number("limit", 1..=500, 50)?;
    let (channel, query) = (call.query.text("channel")?, call.query.text("query")?);
    let user_id = call.query.text("user_id")?.filter(|id| !id.trim().is_empty());
    let user_id = user_id.ok_or_else(|| Error::bad_request("`user_id` must say whose memories to list"))?;
    let owner = owner(channel, user_id);
    let found = match query {
        Some(query) => kernel.memory.recall(&owner, query, limit)?,
        None => kernel.base.store.memories(&owner, limit)?,
    };
    Reply::ok(&Memories { memories: found.into_iter().map(Shown::from).collect() })
}

pub(super) const CREATE: Doc = Doc::new("Remember something of a user")
    .takes(Takes::Object(&[
        Field::new("user_id", Shape::Name, "whose memory").required(),
        Field::new("channel", Shape::Name, "where the user has that id; `api` if not said"),
        Field::new("text", Shape::Text, "what, in at most 4096 bytes").required(),
        Field::new("tags", Shape::Texts, "further words that it is found by"),
    ]))
    .answers::<Shown>(&[201])
    .fails(&[Code::Conflict]);

pub(super) async fn create(kernel: Arc<Kernel>, mut call: Call) -> Result<Reply> {
    let mut fields = call.body.object().await?;
    let owner = owner(fields.name("channel")?.as_deref(), &fields.required_name("user_id")?);
    let text = fields.required_text("text")?;
    let tags = fields.texts("tags")?.unwrap_or_default();
    Reply::created(&Shown::from(kernel.memory.remember(&owner, &text, tags, None).await?))
}

pub(super) const REMOVE: Doc = Doc::new("Forget something");

pub(super) async fn remove(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let id = call.param("id");
    let unknown = || Error::not_found("Memory", id);
    let owner = kernel.base.store.memory_owner(id)?.ok_or_else(unknown)?;
    match kernel.memory.forget(&owner, id).await? {
        true => Ok(Reply::no_content()),
        false => Err(unknown()),
    }
}

fn owner(channel: Option<&str>, user_id: &str) -> Owner {
    Owner { channel: channel.unwrap_or("api").into(), user_id: user_id.into() }
}
