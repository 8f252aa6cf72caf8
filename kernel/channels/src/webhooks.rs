//! What a platform posts to `/in/{channel}`: let in by the manifest's rule, handled by the connector, and answered
//! once the step that answers it is committed.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tracing::{debug, warn};

use super::input::Input;
use super::setup::Setup;
use super::verification::Check;
use super::{Channels, span};
use prx_base::clock::Clock;
use prx_base::config::Settings;
use prx_base::error::{Code, Error, Result};
use prx_host::Generation;
use prx_host::bindings::connector as wire;

/// How long a platform waits for an answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// Webhooks of one channel that wait for their answers.
const WAITING: usize = 64;

/// A request of a platform's.
pub struct Webhook {
    /// In capitals.
    pub method: String,
    /// What follows `/in/{channel}/`; may be empty.
    pub path: String,
    /// What follows the question mark; may be empty.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub body: Vec<u8>,
}

/// What a connector answers.
pub struct WebhookReply {
    /// As the connector says; it need not be a status that there is.
    pub status: u16,
    /// As the connector says.
    pub headers: Vec<(String, String)>,
    /// As the connector says.
    pub body: Vec<u8>,
}

/// A webhook on its way to a pump, with its place among those that wait.
pub(super) struct Knock {
    webhook: Webhook,
    visitor: Visitor,
}

/// Someone who waits for an answer.
struct Visitor {
    answer: oneshot::Sender<WebhookReply>,
    _place: OwnedSemaphorePermit,
}

/// The webhooks that a pump has handed over and that wait for their answers.
#[derive(Default)]
pub(super) struct Webhooks {
    waiting: HashMap<u64, Visitor>,
    last: u64,
}

/// Where webhooks of one channel come in, whichever pump runs it.
pub(super) struct Door {
    name: String,
    settings: Settings,
    code: watch::Receiver<Option<Arc<Generation>>>,
    pump: watch::Receiver<Option<mpsc::Sender<Input>>>,
    places: Arc<Semaphore>,
    known: Mutex<Option<Arc<Known>>>,
    /// Someone was turned away, and the log told of it.
    told: AtomicBool,
}

/// The rule of the newest code that came by, for reading secrets takes its time.
struct Known {
    code: Arc<Generation>,
    rule: Option<Check>,
}

impl Channels {
    /// Whether there is anyone to hand a webhook to, so that no body is read in vain.
    ///
    /// # Errors
    /// `not_found` when no channel of that name is configured; `unavailable` when it does not run.
    pub fn expects_webhooks(&self, name: &str) -> Result<()> {
        self.door(name)?.open().map(drop)
    }

    fn door(&self, name: &str) -> Result<Arc<Door>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let door = running.get(name).map(|channel| channel.door.clone());
        door.ok_or_else(|| Error::not_found("Channel", name))
    }

    /// Hands a webhook to a channel's connector, and returns its answer once what it follows from is committed.
    ///
    /// # Errors
    /// `not_found` when no channel of that name is configured; `unauthorized` when it does not show what the
    /// manifest's rule asks for; `unavailable` when the channel does not run, too many wait, or the connector failed
    /// on it; `gateway_timeout` when the connector takes too long.
    pub async fn webhook(&self, name: &str, webhook: Webhook) -> Result<WebhookReply> {
        let door = self.door(name)?;
        tracing::Instrument::instrument(door.pass(&self.parts.clock, webhook), span(name)).await
    }
}

impl Door {
    pub(super) fn new(
        name: &str,
        settings: &Settings,
        code: watch::Receiver<Option<Arc<Generation>>>,
        pump: watch::Receiver<Option<mpsc::Sender<Input>>>,
    ) -> Self {
        let (places, known) = (Arc::new(Semaphore::new(WAITING)), Mutex::new(None));
        let (name, settings, told) = (name.into(), settings.clone(), AtomicBool::new(false));
        Self { name, settings, code, pump, places, known, told }
    }

    async fn pass(&self, clock: &Clock, webhook: Webhook) -> Result<WebhookReply> {
        let closed = |why: &str| self.closed(why);
        let (pump, known) = self.open()?;
        if let Some(Err(problem)) = known.rule.as_ref().map(|rule| rule.verify(&webhook, clock.now())) {
            return Err(self.turned_away(&problem));
        }
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| closed("has too many webhooks to answer; try again"))?;
        let (answer, answered) = oneshot::channel();
        let knock = Knock { webhook, visitor: Visitor { answer, _place: place } };
        let answered = async {
            let gone = || closed("stopped before it answered; try again");
            pump.send(Input::Webhook(knock)).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())
        };
        tokio::select! {
            answered = answered => answered,
            () = clock.sleep(DEADLINE) => {
                let message = format!("Channel {} did not answer in {} seconds", self.name, DEADLINE.as_secs());
                Err(Error::new(Code::GatewayTimeout, message))
            }
        }
    }

    /// Where webhooks go, and the rule that lets them in.
    fn open(&self) -> Result<(mpsc::Sender<Input>, Arc<Known>)> {
        let (pump, code) = (self.pump.borrow().clone(), self.code.borrow().clone());
        let (Some(pump), Some(code)) = (pump, code) else { return Err(self.closed("does not run now")) };
        let known = self.known(code).map_err(|_| self.closed("does not run now"))?;
        Ok((pump, known))
    }

    fn closed(&self, why: &str) -> Error {
        Error::new(Code::Unavailable, format!("Channel {} {why}", self.name))
    }

    fn known(&self, code: Arc<Generation>) -> std::result::Result<Arc<Known>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| Arc::ptr_eq(&known.code, &code)) {
            return Ok(known.clone());
        }
        let setup = Setup::new(&self.name, &self.settings, &code)?;
        let rule = Check::new(&code.manifest, &setup.policy);
        Ok(known.insert(Arc::new(Known { code, rule })).clone())
    }

    /// Anyone can knock here, so the log tells of it once.
    fn turned_away(&self, problem: &str) -> Error {
        if self.told.swap(true, Ordering::Relaxed) {
            debug!(problem, "a webhook was turned away");
        } else {
            warn!(problem, "a webhook was turned away; more of them are told at debug level");
        }
        Error::new(Code::Unauthorized, "This is not what the channel's platform signs its webhooks with")
    }
}

impl Webhooks {
    /// Takes a webhook in: the event that it is for the connector.
    pub(super) fn admit(&mut self, knock: Knock) -> wire::Event {
        self.waiting.retain(|_, visitor| !visitor.answer.is_closed());
        self.last += 1;
        self.waiting.insert(self.last, knock.visitor);
        let Webhook { method, path, query, headers, body } = knock.webhook;
        wire::Event::Webhook(wire::Webhook { token: self.last, method, path, query, headers, body })
    }

    /// Gives an answer to whoever still waits for it.
    pub(super) fn reply(&mut self, token: u64, reply: wire::WebhookReply) {
        let Some(visitor) = self.waiting.remove(&token) else { return };
        let wire::WebhookReply { status, headers, body } = reply;
        // Whoever has waited long enough is gone.
        let _ = visitor.answer.send(WebhookReply { status, headers, body });
    }

    /// Leaves a webhook without an answer.
    pub(super) fn forget(&mut self, token: u64) {
        self.waiting.remove(&token);
    }
}

impl Webhook {
    /// The first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Webhook {
    /// Shows nothing of what people say.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.method, self.body.len())
    }
}

impl fmt::Debug for WebhookReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.status, self.body.len())
    }
}
