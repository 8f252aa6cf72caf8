//! What there is only once the gateway is ready: the handlers, and whom and what they know.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::access_log::Entry;
use super::auth::{Caller, Tokens};
use super::call::Call;
use super::idempotency::{Claim, Idempotency};
use super::mounts::Mounted;
use super::reply::Reply;
use super::router::{Route, Router};
use prx_base::clock::Clock;
use prx_base::config::{self, Config};
use prx_base::error::{Code, Error, Result};
use prx_store::{Actor, Deed, Store};

/// The share of `gateway.stop_secs` in [`reply_shutdown_timeout`].
const REPLY_SHARE: f64 = 0.75;

/// How long a reply that is under way may take once the gateway shuts down. Less than its connection may, so that the
/// client reads how the reply ended.
pub fn reply_shutdown_timeout(config: &Config) -> Duration {
    config.gateway.stop_share(REPLY_SHARE)
}

/// The route table with what its handlers are given.
pub(super) struct Service<S> {
    state: Arc<S>,
    pub(super) router: Router<S>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) idempotency: Idempotency,
    store: Store,
    lifetime: Lifetime,
}

/// When the gateway shuts down, and by which clock.
#[derive(Debug, Clone)]
pub(super) struct Lifetime {
    pub(super) clock: Clock,
    pub(super) config: config::Live,
    pub(super) shutdown: CancellationToken,
}

impl<S: Send + Sync + 'static> Service<S> {
    pub(super) fn new(state: Arc<S>, router: Router<S>, store: Store, lifetime: Lifetime) -> Self {
        let tokens = Arc::new(Tokens::new(store.clone(), lifetime.clock.clone()));
        let idempotency = Idempotency::new(store.clone(), lifetime.clock.clone());
        Self { state, router, tokens, idempotency, store, lifetime }
    }

    /// The route of a path that the table has not.
    pub(super) fn mounted(&self, path: &str) -> Option<Mounted<S>> {
        self.router.mounted(&self.state, path)
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Runs a handler to its end, also when the client hangs up meanwhile, so that nothing is left half done.
    pub(super) async fn run(
        &self,
        entry: &Entry,
        route: &Route<S>,
        claim: Option<Claim>,
        mut call: Call,
    ) -> Result<Reply> {
        let span = tracing::info_span!("request", request_id = entry.id, trace_id = entry.trace);
        let tokens = self.tokens.clone();
        let end = self.lifetime.clone().end(tokens, call.caller.clone(), route.method.clone());
        let (handler, state) = (route.handler.clone(), self.state.clone());
        let deed = route.audited.map(|action| deed(action, entry, &call));
        let store = self.store.clone();
        let handler = async move |state, call| {
            let reply = handler(state, call).await?;
            if let Some(deed) = deed.and_then(|deed| done(deed, &reply)) {
                write_down(&store, deed).await;
            }
            Ok(reply)
        };
        let shutdown = self.lifetime.shutdown.clone();
        let answering = async move {
            let Some(claim) = claim else { return handler(state, call).await };
            if let Some(reply) = claim.kept(&mut call.body).await? {
                return Ok(reply);
            }
            claim.begin().await?;
            let digest = call.body.watch();
            match handler(state, call).await {
                Ok(reply) => claim.keep(reply, &digest).await,
                // What the next start may go on with is not to be begun a second time.
                Err(error) if shutdown.is_cancelled() => Err(error),
                Err(error) => claim.forget().await.and(Err(error)),
            }
        };
        let answered = tokio::spawn(answering.instrument(span)).await;
        Ok(answered.unwrap_or_else(|panic| Err(Error::internal(panic)))?.until(end))
    }
}

/// What the audit log is to hold of a call, as far as that is known before it is answered.
fn deed(action: &str, entry: &Entry, call: &Call) -> Deed {
    let (actor, token) = match &call.caller {
        Caller::Owner => (Actor::Owner, None),
        Caller::Token { id, .. } => (Actor::Token, Some(id.clone())),
        Caller::Anyone => (Actor::Anyone, None),
    };
    let target = call.params.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("/");
    Deed {
        actor,
        token,
        address: entry.sender.map(|address| address.to_string()),
        request: Some(entry.id.clone()),
        ..Deed::of_owner(action, target, Value::Null)
    }
}

/// The same with what the reply says; none where nothing was done.
fn done(mut deed: Deed, reply: &Reply) -> Option<Deed> {
    if let Some(note) = reply.note() {
        deed.target.clone_from(&note.target);
        deed.details.clone_from(&note.details);
    }
    (reply.0.status().is_success() && !reply.changes_nothing()).then_some(deed)
}

/// Writes into the audit log what was done, directly behind it. It is done, so that a failure here is only told.
async fn write_down(store: &Store, deed: Deed) {
    if let Err(error) = store.record_audit(deed).await {
        tracing::error!(%error, "what was done is not in the audit log");
    }
}

impl Lifetime {
    /// Ends when a stream must: its caller may call no longer, or the gateway shuts down. One that only follows what
    /// happens must then end at once; one that answers to something may come to its own end.
    async fn end(self, tokens: Arc<Tokens>, caller: Caller, method: Method) -> Error {
        let stopped = async {
            self.shutdown.cancelled().await;
            let timeout = match method {
                Method::GET => Duration::ZERO,
                _ => reply_shutdown_timeout(&self.config.current()),
            };
            self.clock.sleep(timeout).await;
            Error::new(Code::Unavailable, "The gateway is stopping")
        };
        tokio::select! {
            error = tokens.end(caller) => error,
            error = stopped => error,
        }
    }
}
