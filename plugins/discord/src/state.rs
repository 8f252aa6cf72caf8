//! What outlives a restart.

use prx_sdk::connector::{Commands, Context, Token};
use prx_sdk::continued::Continued;
use prx_sdk::cooldown::Cooldown;
use prx_sdk::heard::Heard;
use prx_sdk::operations::Operations;
use prx_sdk::pending::PendingQueue;
use prx_sdk::threads::Threads;
use serde::{Deserialize, Serialize};

use crate::anomalies::Anomalies;
use crate::command::PendingCommand;
use crate::config::Config;
use crate::link::Link;
use crate::menu::Menu;
use crate::op::Op;
use crate::pace::Pace;
use crate::pending::{Pending, PendingMessage};
use crate::roles::Roles;
use crate::session::{Session, Starts};
use crate::starters::Starters;

/// The state of one channel, committed with what it delivered and learned.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub(crate) tokens: u64,
    pub link: Link,
    pub session: Option<Session>,
    pub starts: Starts,
    pub me: Me,
    pub ops: Operations<Op>,
    pub pace: Pace,
    #[serde(rename = "pending")]
    pub commands: Vec<PendingCommand>,
    #[serde(rename = "oddities")]
    pub anomalies: Anomalies,
    #[serde(rename = "parcels")]
    pub pending: Vec<Pending>,
    #[serde(skip_serializing_if = "Heard::is_empty")]
    pub heard: Heard,
    /// The threads in which the bot was addressed, and the messages of servers that were said to it: what follows there is
    /// so too.
    #[serde(skip_serializing_if = "Threads::is_empty")]
    pub threads: Threads,
    #[serde(skip_serializing_if = "Starters::is_empty")]
    pub starters: Starters,
    #[serde(skip_serializing_if = "Roles::is_empty")]
    pub roles: Roles,
    /// Texts of more than one message, as they grow.
    #[serde(skip_serializing_if = "Continued::is_empty")]
    pub continued: Continued,
    #[serde(skip_serializing_if = "Menu::is_empty")]
    pub menu: Menu,
    /// The pause of all REST calls.
    #[serde(skip_serializing_if = "Cooldown::is_over")]
    pub cooldown: Cooldown,
    /// The timer that ends it.
    #[serde(skip_serializing_if = "is_zero")]
    pub cooldown_timer: Token,
    /// The platform has accepted the token since it was last changed.
    #[serde(skip_serializing_if = "is_false")]
    pub token_worked: bool,
}

/// Whose token this is.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Me {
    pub id: String,
    pub application: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl State {
    /// A token that was never used before.
    pub fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    /// The messages that wait for their files.
    pub(crate) fn pending_queue<'a>(
        &'a mut self,
        cx: &'a Context<Config>,
        out: &'a mut Commands,
    ) -> PendingQueue<'a, PendingMessage> {
        PendingQueue::new(cx, (&mut self.pending, &mut self.tokens), out)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(crate) fn is_zero(token: &Token) -> bool {
    *token == 0
}
