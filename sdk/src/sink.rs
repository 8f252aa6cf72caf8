//! Passes on the pieces of a provider's answer as they come.

pub use crate::wire::imports::sink::Delta;

/// Takes the pieces of an answer.
pub struct Sink<'a>(&'a dyn Fn(Delta) -> bool);

impl<'a> Sink<'a> {
    /// A sink that calls `push` with each piece; `push` returns whether the answer is still wanted.
    pub fn new(push: &'a dyn Fn(Delta) -> bool) -> Self {
        Self(push)
    }

    /// Passes on a piece. False: the answer is not wanted any more, so stop.
    pub fn push(&self, delta: Delta) -> bool {
        (self.0)(delta)
    }

    /// Passes on a piece of the answer's text. False: the answer is not wanted any more, so stop.
    pub fn text(&self, text: impl Into<String>) -> bool {
        self.push(Delta::Text(text.into()))
    }
}
