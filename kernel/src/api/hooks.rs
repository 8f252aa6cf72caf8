//! Hooks: registered, listed, removed, tried out; and what became of their deliveries.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::page;
use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::Result;
use prx_base::events::Kind;
use prx_http::describe::Takes;
use prx_http::parameter::{AnyText, Number, Parameter, Required, Text, Words};
use prx_http::{Call, Doc, Reply};
use prx_store::{Attempt, Delivery, DeliveryStatus, Hook};

/// A hook as it is shown: never its secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Hook")]
struct HookView {
    id: String,
    url: String,
    events: Vec<String>,
    active: bool,
    created_at: String,
}

/// A hook as it was just registered, with its secret if that was made here.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewHook")]
struct CreatedHook<'a> {
    #[serde(flatten)]
    shown: HookView,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

/// A delivery, without what is delivered.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
struct DeliveryView {
    id: String,
    event: String,
    status: DeliveryStatus,
    attempts: u32,
    created_at: String,
    next_attempt_at: Option<String>,
    last_attempt: Option<AttemptView>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeliveryAttempt")]
struct AttemptView {
    at: String,
    status_code: Option<u16>,
    error: Option<String>,
}

impl From<Hook> for HookView {
    fn from(Hook { id, url, events, active, created_at }: Hook) -> Self {
        Self { id, url, events, active, created_at: rfc3339(created_at) }
    }
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            event: delivery.event,
            status: delivery.status,
            attempts: delivery.attempts,
            created_at: rfc3339(delivery.created_at),
            next_attempt_at: delivery.next_attempt_at.map(rfc3339),
            last_attempt: delivery.last_attempt.map(AttemptView::from),
        }
    }
}

impl From<Attempt> for AttemptView {
    fn from(Attempt { at, status, error }: Attempt) -> Self {
        Self { at: rfc3339(at), status_code: status, error }
    }
}

#[derive(Serialize, JsonSchema)]
struct Hooks {
    hooks: Vec<HookView>,
}

/// Part of a hook's deliveries.
#[derive(Serialize, JsonSchema)]
struct Deliveries {
    deliveries: Vec<DeliveryView>,
    total: usize,
}

const URL: Parameter<Required<Text>> = Parameter::new("url", Text, "where events are delivered").required();
const EVENTS: Parameter<Required<Words>> =
    Parameter::new("events", Words(names), "which events; `*` for all")
        .required_or("is missing; it must be a list of event names, or [\"*\"]");
const SECRET: Parameter<Text> =
    Parameter::new("secret", Text, "signs what is delivered; one is made if not said");

pub(super) const CREATE: Doc = Doc::new("Register a webhook")
    .takes(Takes::Object(&[&URL, &EVENTS, &SECRET]))
    .answers::<CreatedHook>(&[201]);

fn names() -> Vec<&'static str> {
    Kind::ALL.iter().map(|kind| kind.name()).chain(["*"]).collect()
}

pub(super) async fn create(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let mut fields = call.body.object().await?;
    let (url, events) = (fields.get(&URL)?, fields.get(&EVENTS)?);
    let registered = gateway.hooks.register(url, events, fields.get(&SECRET)?).await?;
    let secret = registered.made.as_ref().map(|secret| secret.expose());
    let reply = Reply::created(&CreatedHook { shown: registered.hook.into(), secret })?;
    Ok(if secret.is_some() { reply.holding_secret() } else { reply })
}

pub(super) const LIST: Doc = Doc::new("List webhooks").answers::<Hooks>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    Reply::ok(&Hooks { hooks: gateway.store.hooks()?.into_iter().map(HookView::from).collect() })
}

pub(super) const REMOVE: Doc = Doc::new("Remove a webhook");

pub(super) async fn remove(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    gateway.hooks.remove(call.param("id")).await?;
    Ok(Reply::no_content())
}

const LIMIT: Parameter<Number> = Parameter::new("limit", page::LIMIT, "most deliveries to return");
const BEFORE: Parameter<AnyText> =
    Parameter::new("before", AnyText, "only deliveries before the one with this id");

pub(super) const DELIVERIES: Doc = Doc::new("List the deliveries of a webhook, newest last")
    .query(&[&LIMIT, &BEFORE])
    .answers::<Deliveries>(&[200]);

pub(super) async fn deliveries(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let (limit, before) = (call.query.get(&LIMIT)?, call.query.get(&BEFORE)?);
    let page = gateway.store.deliveries(call.param("id"), limit, before)?;
    let deliveries = page.items.into_iter().map(DeliveryView::from).collect();
    Reply::ok(&Deliveries { deliveries, total: page.total })
}

pub(super) const TEST: Doc = Doc::new("Deliver a test event to a webhook").answers::<DeliveryView>(&[202]);

pub(super) async fn test(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let delivery = gateway.hooks.test(call.param("id")).await?;
    Reply::json(StatusCode::ACCEPTED, &DeliveryView::from(delivery))
}

pub(super) const REPLAY: Doc = Doc::new("Deliver something once more").answers::<DeliveryView>(&[202]);

pub(super) async fn replay(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let delivery = gateway.hooks.replay(call.param("id"), call.param("delivery")).await?;
    Reply::json(StatusCode::ACCEPTED, &DeliveryView::from(delivery))
}
