//! Operations that a connector has put off, asked for again as the gateway does.

use super::Script;
use crate::connector::{Connector, Operation, Outcome, Target};

/// An operation that is asked for until it is done: anew once the time is over for which the connector has put it off.
pub struct Waiting {
    id: String,
    target: Target,
    operation: Operation,
    attempt: u32,
    /// When it is asked for again, in Unix milliseconds; none while it is under way.
    due: Option<u64>,
}

impl Waiting {
    /// Asks for it for the first time.
    pub fn begin<C: Connector>(script: &mut Script<C>, target: Target, operation: Operation) -> Self {
        let id = script.operate(target.clone(), operation.clone());
        Self { id, target, operation, attempt: 1, due: None }
    }

    /// Asks for it once more if its time has come.
    pub fn again<C: Connector>(&mut self, script: &mut Script<C>) {
        match (self.due, script.outcome(&self.id)) {
            (None, Some(Outcome::RetryAfter(after))) => self.due = Some(script.now() + u64::from(*after)),
            (Some(due), _) if due <= script.now() => {
                (self.attempt, self.due) = (self.attempt + 1, None);
                script.repeat(&self.id, self.attempt, self.target.clone(), self.operation.clone());
            }
            _ => {}
        }
    }

    /// Whether it is done.
    pub fn is_done<C: Connector>(&self, script: &Script<C>) -> bool {
        matches!(script.outcome(&self.id), Some(Outcome::Ok(_)))
    }
}
