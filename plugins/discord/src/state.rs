//! What outlives a restart.

use serde::{Deserialize, Serialize};

use crate::interact::Pending;
use crate::link::Link;
use crate::oddity::Oddities;
use crate::op::Op;
use crate::pace::Pace;
use crate::parcel::Parcel;
use crate::session::{Session, Starts};

/// Operations kept for the sake of their progress while nothing of them is in flight.
const MAX_PAUSED: usize = 64;

/// The state of one channel, committed with what it delivered and learned.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub(crate) tokens: u64,
    pub link: Link,
    pub session: Option<Session>,
    pub starts: Starts,
    pub me: Me,
    pub ops: Vec<Op>,
    pub pace: Pace,
    pub pending: Vec<Pending>,
    pub oddities: Oddities,
    pub parcels: Vec<Parcel>,
}

/// Whose token this is.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Me {
    pub id: String,
    pub application: String,
}

impl State {
    /// A token that was never used before.
    pub fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    /// The operation whose request has this token.
    pub fn take_op(&mut self, token: u64) -> Option<Op> {
        let place = self.ops.iter().position(|op| op.token == token && token != 0)?;
        Some(self.ops.remove(place))
    }

    /// The operation of this id, begun earlier.
    pub fn take_begun(&mut self, id: &str) -> Option<Op> {
        let place = self.ops.iter().position(|op| op.id == id)?;
        Some(self.ops.remove(place))
    }

    /// Keeps an operation that comes again, if some of it may be done already.
    pub fn pause(&mut self, mut op: Op) {
        op.token = 0;
        if !op.has_progress() {
            return;
        }
        if self.ops.iter().filter(|op| op.token == 0).count() >= MAX_PAUSED
            && let Some(oldest) = self.ops.iter().position(|op| op.token == 0)
        {
            self.ops.remove(oldest);
        }
        self.ops.push(op);
    }

    /// Forgets the requests that are no longer in flight. The operations whose outcome nobody learns therefore.
    pub fn pause_all_but(&mut self, in_flight: &[u64]) -> Vec<Op> {
        let mut lost = Vec::new();
        for op in std::mem::take(&mut self.ops) {
            if in_flight.contains(&op.token) {
                self.ops.push(op);
            } else {
                lost.extend(Some(op.clone()).filter(|op| op.token != 0));
                self.pause(op);
            }
        }
        lost
    }
}
