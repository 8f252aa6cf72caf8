//! The HTTP calls that a connector asked for and that are on their way.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::blobs::{Blobs, denied};
use super::exchange::{segment, segments};
use super::input::Input;
use prx_base::clock::Clock;
use prx_egress::{self, Egress, Failure, Policy};
use prx_host::bindings::connector as wire;
use prx_host::bindings::types;

/// Largest answer that is handed to a connector.
const MAX_BODY: u64 = 8 << 20;
/// A call without an answer in this time is over, whatever the connector asked for.
const MAX_TIMEOUT: Duration = Duration::from_secs(120);
/// A lane rests no longer than this, whatever the platform asks for.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// Starts calls, keeps each lane to one at a time, and forgets a call when its answer came or it was cancelled.
pub(super) struct Requests {
    egress: Egress,
    blobs: Blobs,
    clock: Clock,
    answers: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
    open: HashMap<u64, Open>,
    lanes: HashMap<String, Lane>,
}

/// A call that was started, or that waits in its lane.
struct Open {
    lane: Option<String>,
    task: Option<AbortHandle>,
}

/// Calls that go out one at a time, in order.
struct Lane {
    waiting: VecDeque<(wire::HttpRequest, Arc<Policy>)>,
    /// Cancelled when the call before has let go of its connection, and its answer asks for no more patience.
    before: CancellationToken,
}

impl Requests {
    pub(super) fn new(egress: Egress, blobs: Blobs, clock: Clock, answers: mpsc::Sender<Input>) -> Self {
        let (open, lanes) = (HashMap::new(), HashMap::new());
        Self { egress, blobs, clock, answers, tasks: JoinSet::new(), open, lanes }
    }

    /// Sends a request as far as the policy lets it go, or queues it behind those of its lane. Its answer comes as
    /// [`Input::Http`].
    pub(super) fn start(&mut self, request: wire::HttpRequest, policy: Arc<Policy>) {
        self.cancel(request.token);
        let busy = self.open.values().any(|open| open.lane.is_some() && open.lane == request.lane);
        self.open.insert(request.token, Open { lane: request.lane.clone(), task: None });
        match request.lane.as_ref().and_then(|lane| self.lanes.get_mut(lane)) {
            Some(lane) if busy => lane.waiting.push_back((request, policy)),
            _ => self.send(request, policy),
        }
    }

    /// Notes that the answer to a request was taken. False: nobody waits for it, it had been cancelled.
    pub(super) fn finish(&mut self, token: u64) -> bool {
        while self.tasks.try_join_next().is_some() {}
        let Some(open) = self.open.remove(&token) else { return false };
        self.next_of(open.lane);
        true
    }

    /// Drops a request, wherever it is. Its answer will not come.
    pub(super) fn cancel(&mut self, token: u64) {
        let Some(open) = self.open.remove(&token) else { return };
        match open.task {
            Some(task) => {
                task.abort();
                self.next_of(open.lane);
            }
            None => {
                if let Some(lane) = open.lane.and_then(|lane| self.lanes.get_mut(&lane)) {
                    lane.waiting.retain(|(request, _)| request.token != token);
                }
            }
        }
    }

    /// How many requests there are whose answers are still to come.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// Their tokens.
    pub(super) fn tokens(&self) -> Vec<u64> {
        let mut tokens: Vec<u64> = self.open.keys().copied().collect();
        tokens.sort_unstable();
        tokens
    }

    /// Ends every call, and returns only when each has let go of its connection.
    pub(super) async fn abort_all(&mut self) {
        self.open.clear();
        self.lanes.clear();
        self.tasks.shutdown().await;
    }

    fn next_of(&mut self, lane: Option<String>) {
        let waiting =
            lane.and_then(|lane| self.lanes.get_mut(&lane)).and_then(|lane| lane.waiting.pop_front());
        if let Some((request, policy)) = waiting {
            self.send(request, policy);
        }
        self.lanes.retain(|_, lane| !lane.waiting.is_empty() || !lane.before.is_cancelled());
    }

    fn send(&mut self, request: wire::HttpRequest, policy: Arc<Policy>) {
        let (egress, blobs, answers) = (self.egress.clone(), self.blobs.clone(), self.answers.clone());
        let clock = self.clock.clone();
        let (token, over) = (request.token, CancellationToken::new());
        let before = request.lane.as_ref().map(|lane| {
            let fresh = || Lane { waiting: VecDeque::new(), before: over.clone() };
            let lane = self.lanes.entry(lane.clone()).or_insert_with(fresh);
            std::mem::replace(&mut lane.before, over.clone())
        });
        let before = before.filter(|before| *before != over);
        let over = over.drop_guard();
        let task = self.tasks.spawn(async move {
            if let Some(before) = before {
                before.cancelled().await;
            }
            let (outcome, pause) = match call(&egress, &blobs, &policy, request, &clock).await {
                Ok((response, pause)) => (wire::HttpOutcome::Response(response), pause),
                Err(Failure { sent, reason, .. }) => {
                    (wire::HttpOutcome::Failed(wire::HttpFailure { sent, reason }), None)
                }
            };
            let over = pause.map(|_| over);
            // The pump that asked is gone: so is its interest in the answer.
            let _ = answers.send(Input::Http(wire::HttpDone { token, outcome })).await;
            clock.sleep(pause.unwrap_or_default().min(MAX_PAUSE)).await;
            drop(over);
        });
        if let Some(open) = self.open.get_mut(&token) {
            open.task = Some(task);
        }
    }
}

/// The answer, and how long the lane is to rest after it.
async fn call(
    egress: &Egress,
    blobs: &Blobs,
    policy: &Policy,
    request: wire::HttpRequest,
    clock: &Clock,
) -> Result<(wire::HttpResponse, Option<Duration>), Failure> {
    let whole = Duration::from_millis(request.timeout_ms.into()).min(MAX_TIMEOUT);
    let headers = request.headers.into_iter().map(|field| Ok((field.name, segments(field.value)?)));
    let outgoing = prx_egress::Request {
        method: Method::from_bytes(request.method.as_bytes())
            .map_err(|_| denied("this is no HTTP method"))?,
        url: segments(request.url)?,
        headers: headers.collect::<Result<_, Failure>>()?,
        body: body(blobs, request.body).await?,
        timeouts: prx_egress::Timeouts { first_byte: whole, idle: whole, total: whole, ..Default::default() },
        max_body: if request.body_to_blob { blobs.limits().each } else { MAX_BODY },
        redirects: 0,
    };
    let response = egress.send(policy, outgoing).await?;
    let (status, headers, elapsed) = (response.status, response.headers.clone(), response.elapsed);
    let pause = prx_egress::backoff(status, &headers, clock.now());
    let (body, blob) = match request.body_to_blob && status.is_success() {
        true => (Vec::new(), Some(blobs.keep(response).await?.id)),
        false => (response.collect().await?.into(), None),
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let response = wire::HttpResponse {
        status: status.as_u16(),
        headers: headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        body,
        blob,
        elapsed_ms: u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX),
    };
    Ok((response, pause))
}

async fn body(blobs: &Blobs, pieces: Vec<types::Segment>) -> Result<prx_egress::Body, Failure> {
    if !pieces.iter().any(|piece| matches!(piece, types::Segment::Blob(_))) {
        return Ok(prx_egress::Body::Segments(segments(pieces)?));
    }
    let mut body = Vec::with_capacity(pieces.len());
    for piece in pieces {
        body.push(match piece {
            types::Segment::Blob(id) => blobs.piece(&id).await?,
            other => prx_egress::Piece::Segment(segment(other)?),
        });
    }
    Ok(prx_egress::Body::Pieces(body))
}
