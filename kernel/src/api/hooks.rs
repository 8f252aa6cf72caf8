//! Hooks: registered, listed, removed, tried out; and what became of their deliveries.

use std::sync::Arc;

use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::http::{Call, Reply};
use crate::kernel::Kernel;
use crate::store::{Attempt, Delivery, DeliveryStatus, Hook};

/// A hook as it is shown: never its secret.
#[derive(Serialize)]
struct Shown {
    id: String,
    url: String,
    events: Vec<String>,
    active: bool,
    created_at: String,
}

/// A hook as it was just registered, with its secret if that was made here.
#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    shown: Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

/// A delivery, without what is delivered.
#[derive(Serialize)]
struct ShownDelivery {
    id: String,
    event: String,
    status: DeliveryStatus,
    attempts: u32,
    created_at: String,
    next_attempt_at: Option<String>,
    last_attempt: Option<ShownAttempt>,
}

#[derive(Serialize)]
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

pub(super) async fn create(kernel: Arc<Kernel>, mut call: Call) -> Result<Reply> {
    let mut fields = call.body.object().await?;
    let url = fields.required_text("url")?;
    let events = fields.texts("events")?;
    let events = events.ok_or_else(|| {
        Error::bad_request("`events` is missing; it must be a list of event names, or [\"*\"]")
    })?;
    let registered = kernel.hooks.register(url, events, fields.text("secret")?).await?;
    let secret = registered.made.as_ref().map(|secret| secret.expose());
    Reply::created(&Made { shown: registered.hook.into(), secret })
}

pub(super) async fn list(kernel: Arc<Kernel>, _: Call) -> Result<Reply> {
    let hooks: Vec<_> = kernel.store.hooks()?.into_iter().map(Shown::from).collect();
    Reply::ok(&json!({"hooks": hooks}))
}

pub(super) async fn remove(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    kernel.hooks.remove(call.param("id")).await?;
    Ok(Reply::no_content())
}

pub(super) async fn deliveries(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let limit = call.query.number("limit", 1..=500, 50)?;
    let page = kernel.store.deliveries(call.param("id"), limit, call.query.text("before")?)?;
    let deliveries: Vec<_> = page.items.into_iter().map(ShownDelivery::from).collect();
    Reply::ok(&json!({"deliveries": deliveries, "total": page.total}))
}

pub(super) async fn test(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let delivery = kernel.hooks.test(call.param("id")).await?;
    Reply::json(StatusCode::ACCEPTED, &ShownDelivery::from(delivery))
}

pub(super) async fn replay(kernel: Arc<Kernel>, call: Call) -> Result<Reply> {
    let delivery = kernel.hooks.replay(call.param("id"), call.param("delivery")).await?;
    Reply::json(StatusCode::ACCEPTED, &ShownDelivery::from(delivery))
}
