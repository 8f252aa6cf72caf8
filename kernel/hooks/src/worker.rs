//! The worker of one hook: makes its deliveries as they fall due, a few at once, and keeps no other hook waiting.

use std::time::Duration;

use futures_util::future::join_all;
use hyper::{Method, StatusCode};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use prx_base::signature;

use super::schedule;
use prx_base::Base;
use prx_base::error::{Error, Result};
use prx_egress::{Allowed, Body, Egress, Origin, Policy, Request, Response, Secrets, Segment, Timeouts};
use prx_store::{Attempt, Delivery, Outcome, Round, Settled, Store, TEST_EVENT};

/// Deliveries that one hook gets at the same time.
const MAX_CONCURRENT: usize = 4;
/// How long a receiver may take to answer, 15 seconds.
const RECEIVER_TIMEOUT: Duration = Duration::from_secs(15);
/// The time is looked at again after a minute, in case it was set.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// Works until its hook is removed, or the gateway stops. While the hook is turned off it rests.
pub(super) struct DeliveryWorker {
    pub(super) hook: String,
    pub(super) base: Base,
    pub(super) store: Store,
    pub(super) egress: Egress,
    /// Changes when something was queued.
    pub(super) queued: watch::Receiver<()>,
    pub(super) stop: CancellationToken,
}

impl DeliveryWorker {
    pub(super) async fn run(mut self) {
        while let Err(error) = self.work().await {
            if self.store.is_healthy() {
                tracing::error!(hook = self.hook, %error, "deliveries to this hook stop until a restart");
                return;
            }
            // What was delivered and could not be noted is delivered again, under the same id.
            tokio::select! {
                () = self.store.recovered() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    async fn work(&mut self) -> Result<()> {
        while !self.stop.is_cancelled() {
            self.queued.mark_unchanged();
            let Some(mut round) = self.store.next_deliveries(&self.hook, MAX_CONCURRENT)? else { break };
            let now = self.base.clock.now();
            let next = round.deliveries.first().and_then(|delivery| delivery.next_attempt_at);
            round.deliveries.retain(|delivery| delivery.next_attempt_at <= Some(now));
            if !round.deliveries.is_empty() {
                self.deliver(&round).await?;
                continue;
            }
            let sleep = next.map_or(MAX_SLEEP, |next| {
                Duration::try_from(next.duration_since(now)).unwrap_or_default().min(MAX_SLEEP)
            });
            tokio::select! {
                _ = self.queued.changed() => {}
                () = self.base.clock.sleep(sleep) => {}
                () = self.stop.cancelled() => {}
            }
        }
        Ok(())
    }

    async fn deliver(&self, round: &Round) -> Result<()> {
        let origin = Origin::of_url(&round.hook.url).map_err(Error::internal)?;
        let private = self.base.config.current().hooks.allow_private;
        let policy = Policy::new(vec![Allowed { origin: origin.into(), private }], Secrets::default());
        let attempts = round.deliveries.iter().map(|delivery| self.attempt(&policy, round, delivery));
        let settled = join_all(attempts).await.into_iter().collect::<Result<_>>()?;
        self.store.settle_deliveries(&self.hook, &round.hook.url, settled).await
    }

    async fn attempt(&self, policy: &Policy, round: &Round, delivery: &Delivery) -> Result<Settled> {
        let clock = &self.base.clock;
        let at = clock.now();
        let sign = |secret| signature::sign(secret, &delivery.id, at, &delivery.body);
        // Standard Webhooks has several signatures in one header, with spaces between them.
        let signature = round.secrets.iter().map(sign).collect::<Result<Vec<_>>>()?.join(" ");
        let text = |text: &str| vec![Segment::Text(text.to_owned())];
        let header = |name: &str, value: &str| (name.to_owned(), text(value));
        let request = Request {
            method: Method::POST,
            url: text(&round.hook.url),
            headers: vec![
                header("content-type", "application/json"),
                header("user-agent", concat!("prx/", env!("CARGO_PKG_VERSION"))),
                header("webhook-id", &delivery.id),
                header("webhook-timestamp", &at.as_second().to_string()),
                header("webhook-signature", &signature),
            ],
            body: Body::Segments(text(&delivery.body)),
            timeouts: Timeouts::default(),
            // Nobody reads the answer's body.
            max_body: u64::MAX,
            redirects: 0,
        };
        let answer = tokio::select! {
            answer = self.egress.send(policy, request) => answer.map_err(|failure| failure.reason),
            () = clock.sleep(RECEIVER_TIMEOUT) => Err(format!("no answer within {} seconds", RECEIVER_TIMEOUT.as_secs())),
        };
        let (status, asked) = match &answer {
            Ok(Response { status, headers, .. }) => {
                (Some(status.as_u16()), prx_egress::retry_after(headers, clock.now()))
            }
            Err(_) => (None, None),
        };
        let error = match answer {
            Ok(Response { status, .. }) if status.is_success() => None,
            Ok(Response { status, .. }) if status.is_redirection() => {
                Some(format!("the receiver answered {status}; redirects are not followed"))
            }
            Ok(Response { status, .. }) => Some(format!("the receiver answered {status}")),
            Err(reason) => Some(reason),
        };
        let attempt = Attempt { at, status, error };
        let outcome = self.outcome(delivery, &attempt, asked);
        Ok(Settled { id: delivery.id.clone(), attempt, outcome })
    }

    /// What follows from an attempt, and whether the operator should know.
    fn outcome(&self, delivery: &Delivery, attempt: &Attempt, asked: Option<Duration>) -> Outcome {
        let (hook, id) = (&self.hook, &delivery.id);
        let Some(error) = &attempt.error else { return Outcome::Delivered };
        if attempt.status == Some(StatusCode::GONE.as_u16()) {
            tracing::warn!(
                hook,
                "the receiver answered 410: this hook is turned off, and keeps what waits for it"
            );
            return Outcome::Gone;
        }
        let wait = schedule::wait(delivery.attempts, asked).filter(|_| delivery.event != TEST_EVENT);
        match wait.map(|wait| self.base.clock.now().checked_add(wait)) {
            Some(Ok(at)) => {
                tracing::debug!(hook, delivery = id, error, "a delivery failed and is tried again");
                Outcome::Retry(at)
            }
            _ => {
                tracing::warn!(hook, delivery = id, error, "a delivery failed and is given up");
                Outcome::Failed
            }
        }
    }
}
