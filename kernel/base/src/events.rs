//! The bus: what happened, for whoever listens. The store publishes what it has committed; losing a listener loses
//! nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio::sync::{broadcast, watch};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// The kinds of events there are. Hooks subscribe to them by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl Kind {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The kind's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The name of every kind there is.
            pub const fn names() -> &'static [&'static str] {
                &[$($name),*]
            }
        }
    };
}

kinds! {
    /// A session was opened.
    SessionCreated = "session.created",
    /// A session ended.
    SessionTerminated = "session.terminated",
    /// A message from a person is in the store.
    MessageReceived = "message.received",
    /// The agent's reply is in the store.
    MessageSent = "message.sent",
    /// A tool was called.
    ToolExecuted = "tool.executed",
    /// A channel's platform answers.
    ChannelConnected = "channel.connected",
    /// A channel's platform no longer answers.
    ChannelDisconnected = "channel.disconnected",
    /// A plugin was loaded or enabled.
    PluginLoaded = "plugin.loaded",
    /// A plugin's next generation serves.
    PluginReloaded = "plugin.reloaded",
    /// A plugin was disabled.
    PluginDisabled = "plugin.disabled",
    /// A plugin could not be loaded, or was quarantined.
    PluginFailed = "plugin.failed",
    /// The configuration changed.
    ConfigUpdated = "config.updated",
    /// Something went wrong that an operator would want to know.
    ErrorOccurred = "error.occurred",
}

/// What an event is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// One of the gateway's.
    Kind(Kind),
    /// One of a plugin's own, `<plugin>.<name>`.
    Own(Arc<str>),
}

impl Name {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Kind(kind) => kind.name(),
            Self::Own(name) => name,
        }
    }
}

impl From<Kind> for Name {
    fn from(kind: Kind) -> Self {
        Self::Kind(kind)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Something that has happened and is to be announced.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What kind of thing.
    pub kind: Kind,
    /// What about; the shape goes with the kind.
    pub data: Value,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Its number in the log of events; 0: the store took nothing when it happened.
    #[serde(skip)]
    pub seq: u64,
    /// What kind of thing.
    #[serde(rename = "type")]
    pub name: Name,
    /// When.
    pub timestamp: Timestamp,
    /// What about; the shape goes with the kind.
    pub data: Value,
}

/// A turn begins in a conversation of a channel. Not kept and not shown: it makes a channel show that the agent is
/// at work, and what it has said so far.
#[derive(Debug, Clone)]
pub struct Activity {
    /// The channel the conversation is on.
    pub channel: String,
    /// Where in the channel the reply goes, as the channel's connector wrote it.
    pub target: Value,
    /// The session of the turn, and the turn's number there.
    pub turn: (String, u64),
    /// The reply as far as it has come. It closes when the attempt at the turn has ended.
    pub said: watch::Receiver<String>,
}

/// A cheap-clone handle to the bus.
#[derive(Debug, Clone)]
pub struct Events {
    sender: broadcast::Sender<Arc<Event>>,
    activity: broadcast::Sender<Arc<Activity>>,
    /// By kind. Held to count, never across a wait.
    counts: Arc<Mutex<HashMap<Option<Kind>, u64>>>,
}

impl Events {
    /// A bus on which a listener may fall this many events behind before it misses some.
    pub fn new(capacity: usize) -> Self {
        let (sender, activity) = (broadcast::Sender::new(capacity), broadcast::Sender::new(capacity));
        Self { sender, activity, counts: Arc::default() }
    }

    /// Tells everyone who listens. Never waits. The store calls this once an event is committed, and nobody else: what is
    /// published only here reaches no hook.
    pub fn publish(&self, event: Event) {
        let kind = match &event.name {
            Name::Kind(kind) => Some(*kind),
            Name::Own(_) => None,
        };
        *self.counts().entry(kind).or_default() += 1;
        // An error here only says that nobody listens.
        let _ = self.sender.send(Arc::new(event));
    }

    /// How many events of each kind there were since the start; plugins' own under none.
    pub fn counted(&self) -> HashMap<Option<Kind>, u64> {
        self.counts().clone()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Option<Kind>, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the channels that the agent is at work somewhere. Never waits.
    pub fn report_activity(&self, activity: Activity) {
        let _ = self.activity.send(Arc::new(activity));
    }

    /// Every turn that begins from now on.
    pub fn activity(&self) -> broadcast::Receiver<Arc<Activity>> {
        self.activity.subscribe()
    }

    /// Everything published from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.sender.subscribe()
    }
}
