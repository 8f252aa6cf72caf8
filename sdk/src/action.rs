//! What a job or an observer does besides its own work: say something, begin a turn, make an event. All of one call's actions take effect
//! together, or none of them.

pub use crate::types::Fault;
pub use crate::wire::imports::common::{Action, Outgoing};

use serde::Serialize;

impl Outgoing {
    /// Something to say in a conversation, which is written `channel/conversation`, as a configuration key with
    /// `extends = "send"` holds it.
    ///
    /// # Errors
    /// `bad-config` when it is written in another way.
    pub fn to(place: &str, text: impl Into<String>) -> Result<Self, Fault> {
        match place.split_once('/') {
            Some((channel, conversation)) if !channel.is_empty() && !conversation.is_empty() => Ok(Self {
                channel: channel.to_owned(),
                conversation: conversation.to_owned(),
                thread: None,
                text: text.into(),
            }),
            _ => {
                Err(Fault::bad_config(format!("{place:?} is no conversation; write `channel/conversation`")))
            }
        }
    }

    /// The same in a thread of the conversation.
    #[must_use]
    pub fn in_thread(mut self, thread: impl Into<String>) -> Self {
        self.thread = Some(thread.into());
        self
    }
}

impl Action {
    /// Says something in a conversation: see [`Outgoing::to`].
    ///
    /// # Errors
    /// As there.
    pub fn send(place: &str, text: impl Into<String>) -> Result<Self, Fault> {
        Outgoing::to(place, text).map(Self::Send)
    }

    /// Begins a turn in a conversation, in which a model reads the text as quoted data: see [`Outgoing::to`].
    ///
    /// # Errors
    /// As there.
    pub fn begin_turn(place: &str, text: impl Into<String>) -> Result<Self, Fault> {
        Outgoing::to(place, text).map(Self::BeginTurn)
    }

    /// Makes an event, `<plugin>.<name>`, about something that is an object as JSON.
    ///
    /// # Errors
    /// `internal` when it can't be written as JSON.
    pub fn publish(event: impl Into<String>, about: &impl Serialize) -> Result<Self, Fault> {
        let about = serde_json::to_string(about).map_err(|error| Fault::internal(error.to_string()))?;
        Ok(Self::Publish((event.into(), about)))
    }
}
