//! Operations under way, for a connector whose operations take several calls or are retried.
//!
//! An operation that is retried goes on where it was: what has been done of it is kept here until it comes again.

use crate::connector::Token;
use serde::{Deserialize, Serialize};
use std::ops::Deref;

/// Most operations kept for their progress while none of their requests is in flight.
const MAX_PAUSED: usize = 64;

/// One operation, with its progress.
pub trait Resumable {
    /// The gateway's id of it.
    fn id(&self) -> &str;

    /// The token of its request in flight; 0: there is none.
    fn token(&self) -> Token;

    /// Forgets its request.
    fn clear_token(&mut self);

    /// Whether a retry would go on elsewhere than at the beginning.
    fn has_progress(&self) -> bool;
}

/// The operations of a connector. Kept in its state, as a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operations<O>(Vec<O>);

impl<O> Default for Operations<O> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<O> Deref for Operations<O> {
    type Target = [O];

    fn deref(&self) -> &[O] {
        &self.0
    }
}

impl<O: Resumable + Clone> Operations<O> {
    /// Adds an operation whose request goes out.
    pub fn push(&mut self, operation: O) {
        self.0.push(operation);
    }

    /// Takes the operation whose request has this token.
    pub fn take_answered(&mut self, token: Token) -> Option<O> {
        self.take(|operation| operation.token() == token && token != 0)
    }

    /// Takes the operation of this id, begun in an earlier attempt.
    pub fn take_begun(&mut self, id: &str) -> Option<O> {
        self.take(|operation| operation.id() == id)
    }

    /// Keeps an operation that will be retried, if it has progress. Of too many, the oldest is dropped.
    pub fn pause(&mut self, mut operation: O) {
        operation.clear_token();
        if !operation.has_progress() {
            return;
        }
        let paused = |operation: &O| operation.token() == 0;
        if self.0.iter().filter(|operation| paused(operation)).count() >= MAX_PAUSED
            && let Some(oldest) = self.0.iter().position(paused)
        {
            self.0.remove(oldest);
        }
        self.0.push(operation);
    }

    /// Pauses every operation whose request is not in flight, and returns those among them that had one: its answer will
    /// not come.
    pub fn pause_all_but(&mut self, in_flight: &[Token]) -> Vec<O> {
        let mut lost = Vec::new();
        for operation in std::mem::take(&mut self.0) {
            if in_flight.contains(&operation.token()) {
                self.0.push(operation);
            } else {
                if operation.token() != 0 {
                    lost.push(operation.clone());
                }
                self.pause(operation);
            }
        }
        lost
    }

    fn take(&mut self, is_it: impl Fn(&O) -> bool) -> Option<O> {
        let place = self.0.iter().position(is_it)?;
        Some(self.0.remove(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Op {
        id: String,
        token: Token,
        begun: bool,
    }

    impl Resumable for Op {
        fn id(&self) -> &str {
            &self.id
        }

        fn token(&self) -> Token {
            self.token
        }

        fn clear_token(&mut self) {
            self.token = 0;
        }

        fn has_progress(&self) -> bool {
            self.begun
        }
    }

    fn op(id: usize, token: Token, begun: bool) -> Op {
        Op { id: format!("out_{id}"), token, begun }
    }

    #[test]
    fn what_has_progress_is_kept_until_it_comes_again() {
        let mut operations = Operations::default();
        operations.push(op(1, 5, true));
        operations.push(op(2, 6, false));
        operations.push(op(3, 7, false));
        let lost = operations.pause_all_but(&[7]);
        assert_eq!(lost, [op(1, 5, true), op(2, 6, false)]);
        assert_eq!(operations.take_answered(5), None);
        assert_eq!(operations.take_answered(0), None);
        assert_eq!(operations.take_answered(7), Some(op(3, 7, false)));
        assert_eq!(operations.take_begun("out_2"), None);
        assert_eq!(operations.take_begun("out_1"), Some(op(1, 0, true)));
        assert!(operations.is_empty());
    }

    #[test]
    fn of_too_many_the_oldest_are_dropped() {
        let mut operations = Operations::default();
        operations.push(op(0, 1, true));
        (1..=MAX_PAUSED + 2).for_each(|id| operations.pause(op(id, 0, true)));
        assert_eq!(operations.len(), MAX_PAUSED + 1, "the one in flight does not count");
        assert_eq!((operations[0].id.as_str(), operations[1].id.as_str()), ("out_0", "out_3"));
    }

    #[test]
    fn they_are_stored_as_a_list() {
        let mut operations = Operations::default();
        operations.push(op(1, 5, true));
        let stored = serde_json::to_string(&operations).expect("JSON");
        assert_eq!(stored, r#"[{"id":"out_1","token":5,"begun":true}]"#);
    }
}
