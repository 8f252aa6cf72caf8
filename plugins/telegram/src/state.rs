//! What outlives a restart.

use prx_sdk::connector::{Commands, Context};
use prx_sdk::continued::Continued;
use prx_sdk::cooldown::Cooldown;
use prx_sdk::heard::Heard;
use prx_sdk::operations::Operations;
use prx_sdk::pending::{MAX_PENDING, PendingQueue};
use prx_sdk::threads::Threads;
use serde::{Deserialize, Serialize};

use crate::api::Me;
use crate::config::Config;
use crate::op::Op;
use crate::pace::Pace;
use crate::pending::{Pending, PendingMessage, Place};
use crate::rich::Support;
use crate::stage::Poll;
use crate::update::Message;

/// Groups whose move to another id is remembered.
const MAX_MOVED: usize = 256;

/// The state of one channel, committed with what it delivered and learned.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub(crate) tokens: u64,
    pub poll: Poll,
    pub bot: Bot,
    /// The first update that was not yet handed over; 0: whatever there is.
    pub offset: i64,
    pub ops: Operations<Op>,
    #[serde(rename = "parcels")]
    pub pending: Vec<Pending>,
    moved: Vec<(i64, i64)>,
    #[serde(skip_serializing_if = "Heard::is_empty")]
    pub heard: Heard,
    /// The messages that were said to the bot in groups: what answers them is so too.
    #[serde(skip_serializing_if = "Threads::is_empty")]
    pub threads: Threads,
    /// Texts of more than one message, as they grow.
    #[serde(skip_serializing_if = "Continued::is_empty")]
    pub continued: Continued,
    /// The request that looks for the bot's menu; 0: none.
    #[serde(skip_serializing_if = "is_zero")]
    pub menu: u64,
    #[serde(skip_serializing_if = "Pace::is_free")]
    pub pace: Pace,
    /// The pause after a 429 that does not say how long it stands.
    #[serde(skip_serializing_if = "Cooldown::is_over")]
    pub cooldown: Cooldown,
    /// Whether the server takes rich messages.
    #[serde(skip_serializing_if = "Support::is_open")]
    pub(crate) rich: Support,
    /// The platform has accepted the token since it was last changed.
    #[serde(skip_serializing_if = "is_false")]
    pub token_worked: bool,
}

/// Whose token this is.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bot {
    pub id: i64,
    pub username: String,
}

impl State {
    /// A token that was never used before.
    pub fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    /// Takes note of whose token this is. Another bot's updates are counted anew.
    pub fn meet(&mut self, me: Me) {
        if self.bot.id != me.id {
            self.offset = 0;
        }
        self.bot = Bot { id: me.id, username: me.username };
    }

    /// A group became a supergroup: what goes to the old id goes to the new one, what comes from the new one belongs
    /// to the old one's conversation.
    pub fn chat_moved(&mut self, old: i64, new: i64) {
        self.moved.retain(|(from, _)| *from != old);
        if self.moved.len() >= MAX_MOVED {
            self.moved.remove(0);
        }
        self.moved.push((old, new));
    }

    /// Where a conversation is now.
    pub fn chat_of(&self, conversation: i64) -> i64 {
        self.moved.iter().find(|(old, _)| *old == conversation).map_or(conversation, |(_, new)| *new)
    }

    /// The session that a message belongs to.
    pub(crate) fn place_of(&self, message: &Message) -> Place {
        Place { conversation: self.conversation_of(message.chat.id), thread: message.thread() }
    }

    /// The conversation that a chat began as.
    pub fn conversation_of(&self, chat: i64) -> i64 {
        self.moved.iter().find(|(_, new)| *new == chat).map_or(chat, |(old, _)| *old)
    }

    /// The messages that wait for their files, ready to go on.
    pub(crate) fn pending_queue<'a>(
        &'a mut self,
        cx: &'a Context<Config>,
        out: &'a mut Commands,
    ) -> PendingQueue<'a, PendingMessage> {
        PendingQueue::new(cx, (&mut self.pending, &mut self.tokens), out).behind(&mut self.cooldown)
    }

    /// Whether a message of a group answers one that was said to the bot.
    pub(crate) fn follows(&self, message: &Message) -> bool {
        let answered = message.answers().filter(|_| message.chat.is_group());
        answered.is_some_and(|answered| self.threads.has(&message.key_of(answered.message_id)))
    }

    /// Remembers what was heard in a group, and what of it was said to the bot.
    pub(crate) fn note(&mut self, message: &Message, heard: &PendingMessage) {
        if !heard.group || heard.overheard {
            return;
        }
        self.heard.note(message.key(), message.sent_at());
        if heard.addressed {
            self.threads.note(message.key());
        }
    }

    /// Whether so many messages are pending that no more should be asked for.
    pub fn is_full(&self) -> bool {
        self.pending.len() >= MAX_PENDING
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(crate) fn is_zero(token: &u64) -> bool {
    *token == 0
}
