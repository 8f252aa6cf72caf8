//! Hooks: registered, listed, removed, tried out; and what became of their deliveries.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::gateway::Kernel;
use prx_base::clock::rfc3339;
use prx_base::error::{Error, Result};
use prx_base::events::Kind;
use prx_http::describe::{Field, Shape, Takes};
use prx_http::{Call, Doc, Reply};
use prx_store::{Attempt, Delivery, DeliveryStatus, Hook};

/// A hook as it is shown: never its secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Hook")]
struct Shown {
    id: String,
    url: String,
    events: Vec<String>,
    active: bool,
    created_at: String,
}

/// A hook as it was just registered, with its secret if that was made here.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewHook")]
struct Made<'a> {
    #[serde(flatten)]
    shown: Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

/// A delivery, without what is delivered.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
struct ShownDelivery {
    id: String,
    event: String,
    status: DeliveryStatus,
    attempts: u32,
    created_at: String,
    next_attempt_at: Option<String>,
    last_attempt: Option<ShownAttempt>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeliveryAttempt")]
struct ShownAttempt {
    at: String,
    status_code: Option<u16>,
    error: Option<String>,
}

impl From<Hook> for Shown {
    fn from(Hook { id, url, events, active, created_at }: Hook) -> Self {
        Self { id, url, events, active, created_at: rfc3339(created_at) }
    }
}

impl From<Delivery> for ShownDelivery {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            event: delivery.event,
            status: delivery.status,
            attempts: delivery.attempts,
            created_at: rfc3339(delivery.created_at),
            next_attempt_at: delivery.next_attempt_at.map(rfc3339),
            last_attempt: delivery.last_attempt.map(ShownAttempt::from),
        }
    }
}

impl From<Attempt> for ShownAttempt {
    fn from(Attempt { at, status, error }: Attempt) -> Self {
        Self { at: rfc3339(at), status_code: status, error }
    }
}

#[derive(Serialize, JsonSchema)]
struct Hooks {
    hooks: Vec<Shown>,
}

/// Part of a hook's deliveries.
#[derive(Serialize, JsonSchema)]
struct Deliveries {
    deliveries: Vec<ShownDelivery>,
    total: usize,
}

pub(super) const CREATE: Doc = Doc::new("Register a webhook")
    .takes(Takes::Object(&[
        Field::new("url", Shape::Text, "where events are delivered").required(),
        Field::new("events", Shape::Words(names), "which events; `*` for all").required(),
        Field::new("secret", Shape::Text, "signs what is delivered; one is made if not said"),
    ]))
    .answers::<Made>(&[201]);

fn names() -> Vec<&'static str> {
    Kind::ALL.iter().map(|kind| kind.name()).chain(["*"]).collect()
}

pub(super) async fn create(kernel: Arc<Kernel>, mut call: Call) -> Result<Reply> {
    let mut fields = call.body.object().await?;
    let url = fields.required_text("url")?;
    let events = fields.texts("events")?;
    let events = events.ok_or_else(|| {
        Error::bad_request("`events` is missing; it must be a list of event names, or [\"*\"]")
    })?;
    let registered = kernel.hooks.register(url, events, fields.text("secret")?).await?;
    let secret = registered.made.as_ref().map(|secret| secret.expose());
    let reply = Reply::created(&Made { shown: registered.hook.into(), secret })?;
    Ok(if secret.is_some() { reply.holding_secret() } else { reply })
}

pub(super) const LIST: Doc = Doc::new("List webhooks").answers::<Hooks>(&[200]);

pub(super) async fn list(kernel: Arc<Kernel>, _: Call) -> Result<Reply> {
    Reply::ok(&Hooks { hooks: kernel.base.store.hooks()?.into_iter().map(Shown::from).collect() })
}

pub(super) const REMOVE: Doc = Doc::new("Remove a webhook");

pub(super) async fn remove(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    kernel.hooks.remove(call.param("id")).await?;
    Ok(Reply::no_content())
}

pub(super) const DELIVERIES: Doc = Doc::new("List the deliveries of a webhook, newest last")
    .query(&[
        Field::new("limit", Shape::Number(1, 500, 50), "most deliveries to return"),
        Field::new("before", Shape::AnyText, "only deliveries before the one with this id"),
    ])
    .answers::<Deliveries>(&[200]);

pub(super) async fn deliveries(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let limit = call.query.number("limit", 1..=500, 50)?;
    let page = kernel.base.store.deliveries(call.param("id"), limit, call.query.text("before")?)?;
    let deliveries = page.items.into_iter().map(ShownDelivery::from).collect();
    Reply::ok(&Deliveries { deliveries, total: page.total })
}

pub(super) const TEST: Doc = Doc::new("Deliver a test event to a webhook").answers::<ShownDelivery>(&[202]);

pub(super) async fn test(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let delivery = kernel.hooks.test(call.param("id")).await?;
    Reply::json(StatusCode::ACCEPTED, &ShownDelivery::from(delivery))
}

pub(super) const REPLAY: Doc = Doc::new("Deliver something once more").answers::<ShownDelivery>(&[202]);

pub(super) async fn replay(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let delivery = kernel.hooks.replay(call.param("id"), call.param("delivery")).await?;
    Reply::json(StatusCode::ACCEPTED, &ShownDelivery::from(delivery))
}
