//! The `channel` capability: a platform's events become messages, and replies become platform calls.
//!
//! A connector is a pure function. What it learns comes in with the call, what it wants goes out as commands:
//!
//! ```
//! use prx_sdk::connector::{Commands, Connector, Context, Event, Http, Status};
//! use prx_sdk::testing::Script;
//! use prx_sdk::types::{Fault, Segments};
//! use serde::{Deserialize, Serialize};
//! use serde_json::json;
//! use std::time::Duration;
//!
//! pub struct Poller;
//!
//! #[derive(Deserialize)]
//! pub struct Config {
//!     api_base: String,
//! }
//!
//! #[derive(Default, Serialize, Deserialize)]
//! pub struct State {
//!     offset: u64,
//! }
//!
//! const POLL: u64 = 1;
//!
//! impl Connector for Poller {
//!     type Config = Config;
//!     type State = State;
//!
//!     fn handle(
//!         cx: &Context<Config>, state: &mut State, event: Event, out: &mut Commands,
//!     ) -> Result<(), Fault> {
//!         if let Event::Started = event {
//!             out.status(Status::Connecting);
//!             let url = Segments::text(format!("{}/bot", cx.config.api_base)).secret("token").then("/poll");
//!             out.http(Http::post(url).json(&json!({"offset": state.offset})).token(POLL).timeout(Duration::from_secs(35)));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut script = Script::<Poller>::new(json!({"api_base": "https://api.example.org"}));
//! script.start();
//! let poll = script.request(POLL);
//! assert_eq!(poll.url_text(), "https://api.example.org/bot{secret:token}/poll");
//! assert_eq!(poll.body_json(), json!({"offset": 0}));
//! ```

pub use crate::commands::{Commands, Http};
pub use crate::types::{Attachment, AttachmentKind, Fault, Field, Segment, Segments, UnixMs};
pub use crate::wire::connector::{
    Choice, Command, Content, Done, Event, HttpDone, HttpFailure, HttpFailureKind, HttpOutcome, HttpRequest,
    HttpResponse, Inbound, Keepalive, LogLevel, Operation, Outbound, Outcome, Overheard, Pattern, Proof,
    Quoted, Resumed, Sender, Socket, SocketClosed, SocketOpened, Status, Step, Stopping, Target, Token,
    Webhook, WebhookReply, WsConnect,
};

use crate::random::Random;
use crate::stored;
use crate::wire::connector as wire;
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// The backoff after the first failure, in milliseconds.
const MIN_BACKOFF_MS: u64 = 1_000;
/// The longest backoff, in milliseconds.
const MAX_BACKOFF_MS: u64 = 60_000;

/// One platform's connector. A channel is a connector with a configuration and a state of its own.
pub trait Connector {
    /// The channel's configuration, as the manifest's `[config.*]` tables describe it; secrets are absent.
    type Config: DeserializeOwned;

    /// What must outlive a restart: a poll cursor, a session to resume. Kept as JSON, committed with every step.
    ///
    /// Serialize deterministically: no `HashMap`, which writes its keys in another order each time.
    type State: Serialize + DeserializeOwned + Default;

    /// The version of `State`'s format; the manifest's `[channel] state_version` says the same.
    const STATE_VERSION: u32 = 1;

    /// Handles one event: changes the state, and says in `out` what is to happen.
    ///
    /// Called in the order in which things came about. The kernel may call again with the same arguments after a
    /// crash, so nothing but the arguments may decide what comes out.
    ///
    /// # Errors
    /// A fault rejects the whole step: neither state nor commands of the events handed over together are kept, and
    /// the channel shows the fault's message. What a platform answers is never a reason for one; an unusable
    /// configuration is.
    fn handle(
        cx: &Context<Self::Config>,
        state: &mut Self::State,
        event: Event,
        out: &mut Commands,
    ) -> Result<(), Fault>;

    /// Reads state that version `from` of this connector wrote. Called before the first event after an upgrade.
    ///
    /// # Errors
    /// A fault refuses the upgrade: the old code and its state stay. So does this default for every version.
    fn migrate(from: u32, state: &[u8]) -> Result<Self::State, Fault> {
        let _ = state;
        Err(Fault::bad_input(format!("reads state version {}, not {from}", Self::STATE_VERSION)))
    }
}

/// What comes in with each call.
#[derive(Debug)]
pub struct Context<C> {
    /// The channel's name in the operator's configuration.
    pub channel: String,
    /// The time of this call. There is no other clock.
    pub now: UnixMs,
    /// The channel's configuration.
    pub config: C,
    random: Random,
}

impl<C> Context<C> {
    /// A context as the kernel would make it; the seed decides every `random` that follows.
    pub fn new(channel: impl Into<String>, now: UnixMs, seed: u64, config: C) -> Self {
        Self { channel: channel.into(), now, config, random: Random::new(seed) }
    }

    /// The next random number of this call: for jitter and nonces, not for keys.
    pub fn random(&self) -> u64 {
        self.random.next()
    }

    /// A random number of this range, both ends included.
    pub fn random_between(&self, low: u64, high: u64) -> u64 {
        low + self.random() % high.saturating_sub(low).saturating_add(1).max(1)
    }

    /// The backoff before the next try after so many failures: it doubles with each, from 1 s to 60 s, the upper half of
    /// it is random jitter.
    pub fn backoff(&self, failures: u32) -> Duration {
        let longest = MIN_BACKOFF_MS.saturating_mul(1 << failures.min(16)).min(MAX_BACKOFF_MS);
        Duration::from_millis(self.random_between(longest / 2, longest))
    }
}

impl HttpResponse {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body read as JSON.
    ///
    /// # Errors
    /// The body is not JSON of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

impl Content {
    /// Text without attachments.
    pub fn text(markdown: impl Into<String>) -> Self {
        Self { markdown: markdown.into(), attachments: Vec::new() }
    }
}

impl Target {
    /// A conversation as a whole: no thread, no message replied to.
    pub fn conversation(id: impl Into<String>) -> Self {
        Self { conversation: id.into(), thread: None, reply_to: None }
    }
}

impl<T: Connector> wire::Guest for T {
    fn handle(context: wire::Context, state: Vec<u8>, events: Vec<Event>) -> Result<Step, Fault> {
        step::<T>(context, &state, events)
    }

    fn migrate(from_version: u32, state: Vec<u8>) -> Result<Vec<u8>, Fault> {
        stored::write(&T::migrate(from_version, &state)?)
    }
}

fn step<T: Connector>(context: wire::Context, before: &[u8], events: Vec<Event>) -> Result<Step, Fault> {
    let config = serde_json::from_str(&context.config).map_err(|e| Fault::bad_config(e.to_string()))?;
    let cx = Context::new(context.channel, context.now, context.seed, config);
    let mut state: T::State = stored::read(before)?;
    let mut out = Commands::default();
    for event in events {
        T::handle(&cx, &mut state, event, &mut out)?;
    }
    let after = stored::write(&state)?;
    Ok(Step { commands: out.into(), state: (after != before).then_some(after) })
}
