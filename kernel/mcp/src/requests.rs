//! Requests to a server: how long they may take, and what it answers, as JSON.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::{CancelledNotificationParam, ClientRequest, ErrorCode, ProgressToken, RequestId};
use rmcp::service::{Peer, PeerRequestOptions, RequestHandle, ServiceError};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::under_way::{Call, Calls};

/// What is under way between the gateway and one server.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) calls: Arc<Calls>,
    answers: AtomicU64,
    /// There is nothing of something that the server says it has.
    lacks_some: AtomicBool,
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

impl Unanswered {
    /// Whether the server says that it knows no such request.
    pub(super) fn is_unknown_method(&self) -> bool {
        matches!(self, Self::Failed(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND)
    }
}

impl Traffic {
    /// Whether a call of a tool is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.calls.any()
    }

    /// How many requests were answered, refused ones included.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Acquire)
    }

    /// Notes whether there is nothing of something that the server says it has.
    pub(super) fn lacks_some(&self, lacks: bool) {
        self.lacks_some.store(lacks, Ordering::Release);
    }

    /// Whether resources or prompts that come now are the first.
    pub(super) fn may_come_first(&self) -> bool {
        self.lacks_some.load(Ordering::Acquire)
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
        self.ask_for(None, peer, request, limit).await
    }

    /// The same for a call, in which the server may put questions to a person: their time does not count.
    ///
    /// # Errors
    /// There is no result.
    pub(super) async fn ask_for(
        &self,
        call: Option<&Call>,
        peer: &Peer<RoleClient>,
        request: ClientRequest,
        limit: Limit,
    ) -> Result<Value, Unanswered> {
        let mut deadline = Deadline::new(limit, call.map(Call::waiting));
        let mut handle = tokio::select! {
            sent = self.send(call, peer, request) => sent.map_err(Unanswered::Failed)?,
            () = deadline.reached() => return Err(Unanswered::Silent),
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
                () = progress.notified() => deadline.renew(),
                () = deadline.reached() => {
                    return Err(if deadline.is_last() { Unanswered::Endless } else { Unanswered::Silent });
                }
            }
        }
    }

    /// Sends a request, and notes its id before any question in it is read.
    async fn send(
        &self,
        call: Option<&Call>,
        peer: &Peer<RoleClient>,
        request: ClientRequest,
    ) -> Result<RequestHandle<RoleClient>, ServiceError> {
        let _sending = self.calls.sending().await;
        let handle = peer.send_request_with_option(request, PeerRequestOptions::no_options()).await?;
        if let Some(call) = call {
            call.sent(handle.id.clone());
        }
        Ok(handle)
    }

    fn progress(&self) -> MutexGuard<'_, HashMap<ProgressToken, Arc<Notify>>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When an answer is waited for no more. It stands still while a person is asked.
struct Deadline {
    limit: Limit,
    next: Instant,
    last: Instant,
    /// How many questions have no answer yet.
    waiting: Option<watch::Receiver<usize>>,
    /// Since when it stands still.
    stopped: Option<Instant>,
}

impl Deadline {
    fn new(limit: Limit, waiting: Option<watch::Receiver<usize>>) -> Self {
        let last = Instant::now() + limit.most;
        let next = (Instant::now() + limit.each).min(last);
        Self { limit, next, last, waiting, stopped: None }
    }

    /// There is progress.
    fn renew(&mut self) {
        self.next = (Instant::now() + self.limit.each).min(self.last);
    }

    /// Whether it could not be renewed any more.
    fn is_last(&self) -> bool {
        self.next == self.last && self.limit.most > self.limit.each
    }

    async fn reached(&mut self) {
        loop {
            let Some(waiting) = &mut self.waiting else { return sleep_until(self.next).await };
            if *waiting.borrow_and_update() == 0 {
                let stopped = self.stopped.take().map_or(Duration::ZERO, |since| since.elapsed());
                self.next += stopped;
                self.last += stopped;
                tokio::select! {
                    () = sleep_until(self.next) => return,
                    changed = waiting.changed() => if changed.is_ok() { continue },
                }
            } else {
                self.stopped.get_or_insert_with(Instant::now);
                if waiting.changed().await.is_ok() {
                    continue;
                }
            }
            // The call is over, and with it whoever could be asked.
            self.waiting = None;
        }
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
