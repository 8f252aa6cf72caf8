//! The HTTP requests that a connector asked for and whose answers are pending.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::blobs::{Blobs, denied};
use super::convert::{http_failure, segment, segments};
use super::input::Input;
use prx_base::clock::Clock;
use prx_egress::{self, Egress, Failure, Policy};
use prx_host::bindings::common;
use prx_host::bindings::connector as wire;

/// Largest answer that is handed to a connector, in bytes.
const MAX_BODY: u64 = 8 << 20;
/// Longest timeout of a request, in seconds, whatever the connector asks for.
const MAX_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest backoff of a lane, in seconds, whatever the platform asks for.
const MAX_BACKOFF: Duration = Duration::from_secs(3600);

/// Sends requests, keeps each lane to one at a time, and forgets a request when its answer came or it was cancelled.
pub(super) struct Requests {
    egress: Egress,
    blobs: Blobs,
    clock: Clock,
    answers: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
    pending: HashMap<u64, Pending>,
    lanes: HashMap<String, Lane>,
}

/// A request that was sent, or that is queued in its lane.
struct Pending {
    lane: Option<String>,
    /// None while it is queued.
    task: Option<AbortHandle>,
}

/// Requests that go out one at a time, in order.
struct Lane {
    queue: VecDeque<Queued>,
    /// Cancelled when the request before has let go of its connection, and the backoff that its answer asks for is
    /// over.
    free: CancellationToken,
}

struct Queued {
    request: wire::HttpRequest,
    policy: Arc<Policy>,
}

/// An answer, and the backoff that it asks for.
struct Answer {
    response: wire::HttpResponse,
    backoff: Option<Duration>,
}

impl Requests {
    pub(super) fn new(egress: Egress, blobs: Blobs, clock: Clock, answers: mpsc::Sender<Input>) -> Self {
        let (pending, lanes) = (HashMap::new(), HashMap::new());
        Self { egress, blobs, clock, answers, tasks: JoinSet::new(), pending, lanes }
    }

    /// Sends a request as far as the policy lets it go, or queues it behind those of its lane. Its answer comes as
    /// [`Input::Http`].
    pub(super) fn start(&mut self, request: wire::HttpRequest, policy: Arc<Policy>) {
        self.cancel(request.token);
        let busy = self.pending.values().any(|other| other.lane.is_some() && other.lane == request.lane);
        self.pending.insert(request.token, Pending { lane: request.lane.clone(), task: None });
        match request.lane.as_ref().and_then(|lane| self.lanes.get_mut(lane)) {
            Some(lane) if busy => lane.queue.push_back(Queued { request, policy }),
            _ => self.send(request, policy),
        }
    }

    /// Notes that the answer to a request came. False: it had been cancelled.
    pub(super) fn finish(&mut self, token: u64) -> bool {
        while self.tasks.try_join_next().is_some() {}
        let Some(done) = self.pending.remove(&token) else { return false };
        self.send_next(done.lane);
        true
    }

    /// Cancels a request, queued or sent. Its answer will not come.
    pub(super) fn cancel(&mut self, token: u64) {
        let Some(cancelled) = self.pending.remove(&token) else { return };
        match cancelled.task {
            Some(task) => {
                task.abort();
                self.send_next(cancelled.lane);
            }
            None => {
                if let Some(lane) = cancelled.lane.and_then(|lane| self.lanes.get_mut(&lane)) {
                    lane.queue.retain(|queued| queued.request.token != token);
                }
            }
        }
    }

    /// How many requests are pending.
    pub(super) fn count(&self) -> usize {
        self.pending.len()
    }

    /// The tokens of the pending requests.
    pub(super) fn tokens(&self) -> Vec<u64> {
        let mut tokens: Vec<u64> = self.pending.keys().copied().collect();
        tokens.sort_unstable();
        tokens
    }

    /// Cancels every request, and returns only when each has let go of its connection.
    pub(super) async fn abort_all(&mut self) {
        self.pending.clear();
        self.lanes.clear();
        self.tasks.shutdown().await;
    }

    fn send_next(&mut self, lane: Option<String>) {
        let lane = lane.and_then(|lane| self.lanes.get_mut(&lane));
        if let Some(Queued { request, policy }) = lane.and_then(|lane| lane.queue.pop_front()) {
            self.send(request, policy);
        }
        self.lanes.retain(|_, lane| !lane.queue.is_empty() || !lane.free.is_cancelled());
    }

    fn send(&mut self, request: wire::HttpRequest, policy: Arc<Policy>) {
        let (egress, blobs, answers) = (self.egress.clone(), self.blobs.clone(), self.answers.clone());
        let clock = self.clock.clone();
        let (token, done) = (request.token, CancellationToken::new());
        let lane_free = request.lane.as_ref().and_then(|lane| self.take_turn(lane, &done));
        let done = done.drop_guard();
        let task = self.tasks.spawn(async move {
            if let Some(lane_free) = lane_free {
                lane_free.cancelled().await;
            }
            let (outcome, backoff) = match call(&egress, &blobs, &policy, request, &clock).await {
                Ok(Answer { response, backoff }) => (wire::HttpOutcome::Response(response), backoff),
                Err(failure) => (wire::HttpOutcome::Failed(http_failure(failure)), None),
            };
            let during_backoff = backoff.map(|_| done);
            // The pump that asked is gone: so is its interest in the answer.
            let _ = answers.send(Input::Http(wire::HttpDone { token, outcome })).await;
            clock.sleep(backoff.unwrap_or_default().min(MAX_BACKOFF)).await;
            drop(during_backoff);
        });
        if let Some(pending) = self.pending.get_mut(&token) {
            pending.task = Some(task);
        }
    }

    /// Has a lane be free again when `done` is cancelled. Returns what is cancelled when the lane is free for this
    /// request; none where it is free already.
    fn take_turn(&mut self, lane: &str, done: &CancellationToken) -> Option<CancellationToken> {
        match self.lanes.entry(lane.to_owned()) {
            Entry::Occupied(mut lane) => Some(std::mem::replace(&mut lane.get_mut().free, done.clone())),
            Entry::Vacant(vacant) => {
                vacant.insert(Lane { queue: VecDeque::new(), free: done.clone() });
                None
            }
        }
    }
}

/// Sends a request and reads its answer.
async fn call(
    egress: &Egress,
    blobs: &Blobs,
    policy: &Policy,
    request: wire::HttpRequest,
    clock: &Clock,
) -> Result<Answer, Failure> {
    let timeout = Duration::from_millis(request.timeout_ms.into()).min(MAX_TIMEOUT);
    let headers = request.headers.into_iter().map(|field| Ok((field.name, segments(field.value)?)));
    let outgoing = prx_egress::Request {
        method: Method::from_bytes(request.method.as_bytes())
            .map_err(|_| denied("this is no HTTP method"))?,
        url: segments(request.url)?,
        headers: headers.collect::<Result<_, Failure>>()?,
        body: body(blobs, request.body).await?,
        timeouts: prx_egress::Timeouts {
            first_byte: timeout,
            idle: timeout,
            total: timeout,
            ..Default::default()
        },
        max_body: if request.body_to_blob { blobs.limits().each } else { MAX_BODY },
        redirects: 0,
    };
    let response = egress.send(policy, outgoing).await?;
    let (status, headers, elapsed) = (response.status, response.headers.clone(), response.elapsed);
    let backoff = prx_egress::backoff(status, &headers, clock.now());
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
    Ok(Answer { response, backoff })
}

async fn body(blobs: &Blobs, pieces: Vec<common::Segment>) -> Result<prx_egress::Body, Failure> {
    if !pieces.iter().any(|piece| matches!(piece, common::Segment::Blob(_))) {
        return Ok(prx_egress::Body::Segments(segments(pieces)?));
    }
    let mut body = Vec::with_capacity(pieces.len());
    for piece in pieces {
        body.push(match piece {
            common::Segment::Blob(id) => blobs.piece(&id).await?,
            other => prx_egress::Piece::Segment(segment(other)?),
        });
    }
    Ok(prx_egress::Body::Pieces(body))
}
