//! What threads began with: the platform says it once, when the thread is made.

use prx_sdk::quotes::{FileOf, Quote, Quotes};
use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::pending::File;
use crate::quotes;

/// Most threads whose beginning is remembered.
const MAX_STARTERS: usize = 16;

/// The beginnings of threads in which nothing was said to the bot yet.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Starters(Vec<Starter>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Starter {
    thread: String,
    quote: Quote,
    files: Vec<File>,
}

impl Starters {
    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A thread was made of a message.
    pub(crate) fn note(&mut self, me: &str, message: &Message) {
        let Some((quote, files)) = quotes::answered(me, message) else { return };
        self.0.retain(|starter| starter.thread != message.channel_id);
        if self.0.len() >= MAX_STARTERS {
            self.0.remove(0);
        }
        let files = files.into_iter().map(|file| File::from((FileOf::ReplyTo, file))).collect();
        self.0.push(Starter { thread: message.channel_id.clone(), quote, files });
    }

    /// Whether a channel is a thread whose beginning is known.
    pub(crate) fn has(&self, channel: &str) -> bool {
        self.0.iter().any(|starter| starter.thread == channel)
    }

    /// The first message that is said to the bot in a thread answers what it began with, unless it answers another one.
    pub(crate) fn take(&mut self, channel: &str, quotes: &mut Quotes) -> Vec<File> {
        let Some(place) = self.0.iter().position(|starter| starter.thread == channel) else {
            return Vec::new();
        };
        let Starter { quote, files, .. } = self.0.remove(place);
        if quotes.reply_to.is_some() {
            return Vec::new();
        }
        quotes.reply_to = Some(quote);
        files
    }
}
