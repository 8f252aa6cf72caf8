//! What happened by the minute and by the hour, for charts.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::since;
use crate::gateway::Gateway;
use crate::stats::Step;
use prx_base::clock::rfc3339;
use prx_base::error::Result;
use prx_base::meter::{Distribution, Point};
use prx_http::parameter::{Matching, OneOf, Parameter};
use prx_http::{Call, Doc, Reply};

/// A series of steps, oldest first, none left out between the first in which anything happened and the one under way, which
/// is the last.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Stats")]
struct StatsView {
    /// `minute` or `hour`.
    step: &'static str,
    points: Vec<PointView>,
}

/// What happened in one step.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatsPoint")]
struct PointView {
    /// When it began.
    at: String,
    /// Messages from people.
    messages_received: u64,
    /// Replies.
    messages_sent: u64,
    /// Turns that ended, in whatever way.
    turns: u64,
    /// Those of them that were put aside.
    turns_failed: u64,
    /// Tokens that models have read.
    input_tokens: u64,
    /// Tokens that models have written.
    output_tokens: u64,
    /// From the arrival of a message until its last reply was on disk; null where no turn ended with a reply.
    latency_ms: Option<Latency>,
}

/// Milliseconds that so many of a hundred turns took at most.
#[derive(Serialize, JsonSchema)]
struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
}

impl PointView {
    fn new(step: Step, number: u64, point: Point) -> Self {
        let second = i64::try_from(number.saturating_mul(step.secs())).unwrap_or(i64::MAX);
        Self {
            at: rfc3339(Timestamp::from_second(second).unwrap_or(Timestamp::MAX)),
            messages_received: point.messages_received,
            messages_sent: point.messages_sent,
            turns: point.turns,
            turns_failed: point.turns_failed,
            input_tokens: point.input_tokens,
            output_tokens: point.output_tokens,
            latency_ms: Latency::of(&point.latency),
        }
    }
}

impl Latency {
    fn of(latency: &Distribution) -> Option<Self> {
        // What took less than one took one: nothing takes none.
        let ms = |share| {
            let ms = latency.percentile(share)?.as_micros().div_ceil(1_000);
            Some(u64::try_from(ms).unwrap_or(u64::MAX))
        };
        Some(Self { p50: ms(0.5)?, p90: ms(0.9)?, p99: ms(0.99)? })
    }
}

const STEPS: [(&str, Step); 2] = [("minute", Step::Minute), ("hour", Step::Hour)];
const STEP: Parameter<OneOf<Step>> = Parameter::new(
    "step",
    OneOf { words: &STEPS, default: Step::Hour },
    "how long a step is: minutes are kept for a day, hours for 31 days",
);
const SINCE: Parameter<Matching> =
    Parameter::new("since", since::SINCE, "only steps that began then, or later; all if not said");

pub(super) const SHOW: Doc = Doc::new("Show what happened by the minute or by the hour")
    .query(&[&STEP, &SINCE])
    .answers::<StatsView>(&[200]);

pub(super) async fn show(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let step = call.query.get(&STEP)?;
    let since = call.query.get(&SINCE)?.map(|text| since::since(&gateway.base.clock, text)).transpose()?;
    let points = gateway.stats.points(step, since);
    let points = points.into_iter().map(|(number, point)| PointView::new(step, number, point)).collect();
    let name = STEPS.iter().find(|(_, known)| *known == step).map_or("", |(name, _)| name);
    Reply::ok(&StatsView { step: name, points })
}
