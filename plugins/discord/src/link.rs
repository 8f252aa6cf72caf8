//! Where the connection to the gateway stands.

use prx_sdk::connector::{Resumed, Socket, Token};
use serde::{Deserialize, Serialize};

use crate::budget::Budget;

/// The one connection to the gateway, or the way to it.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    pub stage: Stage,
    /// The request in flight, the timer waited for, or the socket asked for.
    pub token: Token,
    /// The timer that ends a stage in which nothing happens.
    pub overdue: Token,
    pub socket: Socket,
    /// A session is being taken up again, not begun.
    pub resuming: bool,
    /// Between two heartbeats, which the kernel sends.
    pub interval_ms: u32,
    pub attempts: Attempts,
    /// Frames sent, of which the platform takes 120 a minute.
    pub sends: Budget,
}

/// How it went so far.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempts {
    /// Connections in a row that brought nothing.
    pub failures: u32,
    /// Those among them that reached the platform to take up the session.
    pub resumes: u32,
    /// This connection brought something.
    pub fruitful: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Not connected, and not trying.
    #[default]
    Off,
    /// Asking the API where the gateway is, and whether a session may begin.
    Ask,
    /// Waiting before the next try.
    Wait,
    /// A socket was asked for.
    Connect,
    /// It is open; the platform speaks first.
    Greet,
    /// The session was asked for.
    Introduce,
    /// Events come.
    Live,
}

impl Link {
    /// Whether this is its socket, and open.
    pub(crate) fn is_open(&self, socket: Socket) -> bool {
        matches!(self.stage, Stage::Greet | Stage::Introduce | Stage::Live) && self.socket == socket
    }

    /// Whether its request has this token.
    pub(crate) fn asks(&self, token: Token) -> bool {
        self.stage == Stage::Ask && self.token == token
    }

    /// Whether it goes on by itself with what is still there.
    pub(crate) fn lives_in(&self, resumed: &Resumed) -> bool {
        match self.stage {
            Stage::Off => false,
            Stage::Ask => resumed.requests.contains(&self.token),
            Stage::Wait => resumed.timers.contains(&self.token),
            // Sockets being opened are not listed; the timer ends this if there is none.
            Stage::Connect => resumed.timers.contains(&self.overdue),
            Stage::Greet | Stage::Introduce => {
                resumed.timers.contains(&self.overdue) && self.is_among(&resumed.sockets)
            }
            Stage::Live => self.is_among(&resumed.sockets),
        }
    }

    fn is_among(&self, sockets: &[(Socket, Token)]) -> bool {
        sockets.iter().any(|(socket, _)| *socket == self.socket)
    }
}
