//! Requests to a server: how long they may take, and what it answers, as JSON.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::{CancelledNotificationParam, ClientRequest, ProgressToken, RequestId};
use rmcp::service::{Peer, PeerRequestOptions, ServiceError};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// What is under way between the gateway and one server.
#[derive(Default)]
pub(super) struct Traffic {
    calls: AtomicUsize,
    answers: AtomicU64,
    /// Who waits for which progress. The lock is never held across an await.
    progress: Mutex<HashMap<ProgressToken, Arc<Notify>>>,
}

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Without a sign of progress.
    pub(super) each: Duration,
    /// However much progress there is.
    pub(super) most: Duration,
}

/// Why a request has no result.
pub(super) enum Unanswered {
    /// The server refused it, or could not be reached.
    Failed(ServiceError),
    /// There was neither an answer nor progress in time.
    Silent,
    /// There was progress up to the last moment, and no answer.
    Endless,
}

impl Limit {
    /// So long and no longer.
    pub(super) fn of(duration: Duration) -> Self {
        Self { each: duration, most: duration }
    }
}

impl Traffic {
    /// Counts a call of a tool as under way until this is dropped.
    pub(super) fn call(self: &Arc<Self>) -> impl Drop + use<> {
        self.calls.fetch_add(1, Ordering::AcqRel);
        Call(Arc::clone(self))
    }

    /// Whether a call of a tool is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.calls.load(Ordering::Acquire) > 0
    }

    /// How many requests were answered, refused ones included.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Acquire)
    }

    /// Renews the time of the request that this is about.
    pub(super) fn progressed(&self, token: &ProgressToken) {
        if let Some(waiting) = self.progress().get(token) {
            waiting.notify_one();
        }
    }

    /// Asks a server. Whoever drops this, and a limit that is reached, has the request cancelled there.
    ///
    /// # Errors
    /// There is no result.
    pub(super) async fn ask(
        &self,
        peer: &Peer<RoleClient>,
        request: ClientRequest,
        limit: Limit,
    ) -> Result<Value, Unanswered> {
        let last = Instant::now() + limit.most;
        let mut next = (Instant::now() + limit.each).min(last);
        let sent = peer.send_request_with_option(request, PeerRequestOptions::no_options());
        let mut handle = tokio::select! {
            sent = sent => sent.map_err(Unanswered::Failed)?,
            () = sleep_until(next) => return Err(Unanswered::Silent),
        };
        let progress = Arc::new(Notify::new());
        self.progress().insert(handle.progress_token.clone(), Arc::clone(&progress));
        let mut pending =
            Pending { traffic: self, peer, token: &handle.progress_token, id: Some(handle.id.clone()) };
        loop {
            tokio::select! {
                answer = &mut handle.rx => {
                    pending.id = None;
                    let answer = answer.unwrap_or(Err(ServiceError::TransportClosed));
                    if matches!(answer, Ok(_) | Err(ServiceError::McpError(_))) {
                        self.answers.fetch_add(1, Ordering::AcqRel);
                    }
                    let answer = answer.map_err(Unanswered::Failed)?;
                    let as_json = |_| Unanswered::Failed(ServiceError::UnexpectedResponse);
                    return serde_json::to_value(answer).map_err(as_json);
                }
                () = progress.notified() => next = (Instant::now() + limit.each).min(last),
                () = sleep_until(next) => {
                    let is_endless = next == last && limit.most > limit.each;
                    return Err(if is_endless { Unanswered::Endless } else { Unanswered::Silent });
                }
            }
        }
    }

    fn progress(&self) -> MutexGuard<'_, HashMap<ProgressToken, Arc<Notify>>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Call(Arc<Traffic>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A request that waits for its answer.
struct Pending<'a> {
    traffic: &'a Traffic,
    peer: &'a Peer<RoleClient>,
    token: &'a ProgressToken,
    /// None once it is answered.
    id: Option<RequestId>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.traffic.progress().remove(self.token);
        let (Some(id), Ok(runtime)) = (self.id.take(), Handle::try_current()) else { return };
        let peer = self.peer.clone();
        let reason = "nobody waits for it any more".to_owned();
        runtime.spawn(async move {
            // A server that is gone needs not be told.
            let _ = peer.notify_cancelled(CancelledNotificationParam::new(Some(id), Some(reason))).await;
        });
    }
}
