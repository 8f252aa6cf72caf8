//! What there is only once the gateway is ready: the handlers, and whom and what they know.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::access_log::Entry;
use super::auth::{Caller, Tokens};
use super::call::Call;
use super::idempotency::{Claim, Idempotency};
use super::reply::Reply;
use super::router::{Route, Router};
use prx_base::clock::Clock;
use prx_base::config::{self, Config};
use prx_base::error::{Code, Error, Result};
use prx_store::Store;

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
        let idempotency = Idempotency::new(store, lifetime.clock.clone());
        Self { state, router, tokens, idempotency, lifetime }
    }

    /// Runs a handler to its end, also when the client hangs up meanwhile, so that nothing is left half done.
    pub(super) async fn run(
        &self,
        entry: &Entry,
        route: &Route<S>,
        claim: Option<Claim>,
        mut call: Call,
    ) -> Result<Reply> {
        let span = tracing::info_span!("request", request_id = entry.id);
        let tokens = self.tokens.clone();
        let end = self.lifetime.clone().end(tokens, call.caller.clone(), route.method.clone());
        let (handler, state) = (route.handler.clone(), self.state.clone());
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
