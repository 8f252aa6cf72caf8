//! What a platform posts to `/in/{channel}`: let in by the manifest's rule, handled by the connector, and answered
//! once the step that answers it is committed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tracing::{debug, warn};

use super::input::Input;
use super::setup::Setup;
use super::verification::Verifier;
use super::webhook::{InboundRequest, PendingReply, Webhook, WebhookReply};
use prx_base::clock::Clock;
use prx_base::config::Settings;
use prx_base::error::{Code, Error, Result};
use prx_host::Generation;

/// How long a platform waits for a reply, in seconds.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Webhooks of one channel whose replies may be pending at a time.
const MAX_PENDING: usize = 64;

/// Where webhooks of one channel come in, whichever pump runs it.
pub(super) struct Webhooks {
    name: String,
    settings: Settings,
    code: watch::Receiver<Option<Arc<Generation>>>,
    inputs: watch::Receiver<Option<mpsc::Sender<Input>>>,
    permits: Arc<Semaphore>,
    /// The rule of the newest code that came by, for reading secrets takes its time.
    rule: Mutex<Option<Arc<Rule>>>,
    /// A webhook was rejected, and the log told of it.
    rejection_logged: AtomicBool,
}

/// How the webhooks of one generation of code are verified. Without a verifier, the connector looks for itself.
struct Rule {
    code: Arc<Generation>,
    verifier: Option<Verifier>,
}

/// A channel that runs: where its webhooks go, and the rule that lets them in.
struct Open {
    inputs: mpsc::Sender<Input>,
    rule: Arc<Rule>,
}

impl Webhooks {
    pub(super) fn new(
        name: &str,
        settings: &Settings,
        code: watch::Receiver<Option<Arc<Generation>>>,
        inputs: watch::Receiver<Option<mpsc::Sender<Input>>>,
    ) -> Self {
        Self {
            name: name.into(),
            settings: settings.clone(),
            code,
            inputs,
            permits: Arc::new(Semaphore::new(MAX_PENDING)),
            rule: Mutex::new(None),
            rejection_logged: AtomicBool::new(false),
        }
    }

    /// Checks that there is a pump to hand a webhook to.
    ///
    /// # Errors
    /// `unavailable` when there is none.
    pub(super) fn check_open(&self) -> Result<()> {
        self.open().map(drop)
    }

    /// Verifies a webhook, hands it to the pump, and returns the connector's reply.
    ///
    /// # Errors
    /// `unauthorized` when the webhook does not show what the rule asks for; `unavailable` when the channel does not
    /// run, too many webhooks are pending, or the connector failed on it; `gateway_timeout` when there is no reply in
    /// time.
    pub(super) async fn receive(&self, clock: &Clock, webhook: Webhook) -> Result<WebhookReply> {
        let Open { inputs, rule } = self.open()?;
        if let Some(verifier) = &rule.verifier {
            let admitted = verifier.admit(&webhook, clock.now()).map_err(|problem| self.reject(&problem))?;
            if let Some(answer) = admitted {
                return Ok(answer);
            }
        }
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| self.unavailable("has too many webhooks to answer; try again"))?;
        let (reply, replied) = oneshot::channel();
        let request = InboundRequest { webhook, pending: PendingReply { reply, _permit: permit } };
        let answered = async {
            let gone = || self.unavailable("stopped before it answered; try again");
            inputs.send(Input::Webhook(request)).await.map_err(|_| gone())?;
            replied.await.map_err(|_| gone())
        };
        tokio::select! {
            answered = answered => answered,
            () = clock.sleep(REPLY_TIMEOUT) => {
                let seconds = REPLY_TIMEOUT.as_secs();
                let message = format!("Channel {} did not answer in {seconds} seconds", self.name);
                Err(Error::new(Code::GatewayTimeout, message))
            }
        }
    }

    fn open(&self) -> Result<Open> {
        let (inputs, code) = (self.inputs.borrow().clone(), self.code.borrow().clone());
        let (Some(inputs), Some(code)) = (inputs, code) else {
            return Err(self.unavailable("does not run now"));
        };
        let rule = self.rule_of(code).map_err(|_| self.unavailable("does not run now"))?;
        Ok(Open { inputs, rule })
    }

    fn unavailable(&self, why: &str) -> Error {
        Error::new(Code::Unavailable, format!("Channel {} {why}", self.name))
    }

    fn rule_of(&self, code: Arc<Generation>) -> std::result::Result<Arc<Rule>, String> {
        let mut cached = self.rule.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rule) = cached.as_ref().filter(|rule| Arc::ptr_eq(&rule.code, &code)) {
            return Ok(rule.clone());
        }
        let setup = Setup::new(&self.name, &self.settings, &code)?;
        let verifier = Verifier::new(&code.manifest, &setup.policy);
        Ok(cached.insert(Arc::new(Rule { code, verifier })).clone())
    }

    /// Anyone can post here, so the log warns once.
    fn reject(&self, problem: &str) -> Error {
        if self.rejection_logged.swap(true, Ordering::Relaxed) {
            debug!(problem, "a webhook was turned away");
        } else {
            warn!(problem, "a webhook was turned away; more of them are told at debug level");
        }
        Error::new(Code::Unauthorized, "This is not what the channel's platform signs its webhooks with")
    }
}
