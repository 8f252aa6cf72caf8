//! Hooks: registered, listed, removed, tried out; and what became of their deliveries.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::page;
use crate::gateway::Gateway;
use prx_base::clock::rfc3339;
use prx_base::error::{Error, Result};
use prx_base::events::Kind;
use prx_egress::Origin;
use prx_hooks::{HookEdit, MAX_OVERLAP_SECS};
use prx_http::describe::Takes;
use prx_http::parameter::{AnyText, Number, Parameter, Required, Switch, Text, Whole, Words};
use prx_http::{Call, Doc, Reply};
use prx_store::{Attempt, Delivery, DeliveryStatus, Hook, HookProblem, HookState};

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

/// A hook and how its deliveries go; with its secret if one was just made for it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HookState")]
struct HookStateView {
    #[serde(flatten)]
    shown: HookView,
    /// Deliveries that wait.
    waiting: u64,
    /// Deliveries that the receiver has taken.
    delivered: u64,
    /// Deliveries that were given up.
    given_up: u64,
    /// Events that were not queued, for too many deliveries waited.
    lost: u64,
    /// Since when no attempt has succeeded.
    failing_since: Option<String>,
    last_error: Option<String>,
    /// Until when the secret before the present one signs, too.
    previous_secret_until: Option<String>,
    /// What is wrong, each with what mends it.
    problems: Vec<ProblemView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HookProblem")]
struct ProblemView {
    problem: String,
    fix: String,
}

impl HookStateView {
    fn of(state: HookState, now: Timestamp) -> Self {
        let problem = |HookProblem { problem, fix, .. }| ProblemView { problem, fix };
        let problems = state.problems(now).into_iter().map(problem).collect();
        let HookState { hook, waiting, record, replaced_until, .. } = state;
        Self {
            shown: hook.into(),
            waiting,
            delivered: record.delivered,
            given_up: record.given_up,
            lost: record.lost,
            failing_since: record.failing_since.map(rfc3339),
            last_error: record.last_error,
            previous_secret_until: replaced_until.map(rfc3339),
            problems,
            secret: None,
        }
    }
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
    let (id, details) = (registered.hook.id.clone(), about(&registered.hook));
    let reply = Reply::created(&CreatedHook { shown: registered.hook.into(), secret })?.noting(id, details);
    Ok(if secret.is_some() { reply.holding_secret() } else { reply })
}

/// What the audit log holds of a hook: of its URL the origin only, for the rest may be a secret.
fn about(hook: &Hook) -> Value {
    let origin = Origin::of_url(&hook.url).map(|origin| origin.to_string()).unwrap_or_default();
    json!({ "origin": origin, "events": hook.events, "active": hook.active })
}

pub(super) const LIST: Doc = Doc::new("List webhooks").answers::<Hooks>(&[200]);

pub(super) async fn list(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    Reply::ok(&Hooks { hooks: gateway.store.hooks()?.into_iter().map(HookView::from).collect() })
}

pub(super) const SHOW: Doc =
    Doc::new("Show a webhook, and how its deliveries go").answers::<HookStateView>(&[200]);

pub(super) async fn show(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let state = gateway.store.hook_state(call.param("id"))?;
    Reply::ok(&HookStateView::of(state, gateway.base.clock.now()))
}

const NEW_URL: Parameter<Text> = Parameter::new("url", Text, "where events are delivered from now on");
const NEW_EVENTS: Parameter<Words> = Parameter::new("events", Words(names), "which events; `*` for all");
const ACTIVE: Parameter<Switch> =
    Parameter::new("active", Switch, "whether it is turned on; what waits for it is delivered then");
const NEW_SECRET: Parameter<Text> = Parameter::new("secret", Text, "signs what is delivered from now on");
const ROTATE: Parameter<Switch> =
    Parameter::new("rotate_secret", Switch, "have a new secret made; it is shown this once");
const OVERLAP: Parameter<Whole> = Parameter::new(
    "overlap_secs",
    Whole(0, MAX_OVERLAP_SECS),
    "how long the secret before signs, too; a day if not said",
);

pub(super) const CHANGE: Doc = Doc::new("Change a webhook; what is not said stays")
    .takes(Takes::Object(&[&NEW_URL, &NEW_EVENTS, &ACTIVE, &NEW_SECRET, &ROTATE, &OVERLAP]))
    .answers::<HookStateView>(&[200]);

pub(super) async fn change(gateway: Arc<Gateway>, mut call: Call) -> Result<Reply> {
    let mut fields = call.body.object().await?;
    let (url, events, active) = (fields.get(&NEW_URL)?, fields.get(&NEW_EVENTS)?, fields.get(&ACTIVE)?);
    let secret = match (fields.get(&NEW_SECRET)?, fields.get(&ROTATE)?) {
        (Some(_), Some(true)) => {
            return Err(Error::bad_request(
                "`rotate_secret` makes a secret: leave `secret` out, or give it alone",
            ));
        }
        (given @ Some(_), _) => Some(given),
        (None, rotate) => rotate.filter(|rotate| *rotate).map(|_| None),
    };
    let overlap = fields.get(&OVERLAP)?.map(Duration::from_secs);
    let new_secret = secret.is_some();
    let changed =
        gateway.hooks.change(call.param("id"), HookEdit { url, events, active, secret, overlap }).await?;
    let mut details = about(&changed.state.hook);
    details["new_secret"] = new_secret.into();
    let shown = HookStateView::of(changed.state, gateway.base.clock.now());
    let secret = changed.made.map(|made| made.expose().to_owned());
    let holds_secret = secret.is_some();
    let reply = Reply::ok(&HookStateView { secret, ..shown })?.noting(call.param("id"), details);
    Ok(if holds_secret { reply.holding_secret() } else { reply })
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
