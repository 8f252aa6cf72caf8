//! Where a provider says things as they come.

pub use crate::wire::imports::sink::Delta;

/// Takes the pieces of an answer while it is made.
pub struct Sink<'a>(&'a dyn Fn(Delta) -> bool);

impl<'a> Sink<'a> {
    /// A sink that hands each piece to `push`, which answers whether anybody still listens.
    pub fn new(push: &'a dyn Fn(Delta) -> bool) -> Self {
        Self(push)
    }

    /// Gives a piece. False: nobody listens any more, so stop.
    pub fn push(&self, delta: Delta) -> bool {
        (self.0)(delta)
    }

    /// Gives a piece of the answer's text. False: nobody listens any more, so stop.
    pub fn text(&self, text: impl Into<String>) -> bool {
        self.push(Delta::Text(text.into()))
    }
}
