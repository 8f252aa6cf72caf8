//! The texts of the session's entries, for the agent of the turn.
//!
//! Away from WebAssembly, [`crate::testing::Conversation`] has them.

#[cfg(not(target_family = "wasm"))]
use crate::testing::transcript as store;
#[cfg(target_family = "wasm")]
use crate::wire::imports::transcript as store;

/// Up to `length` bytes of an entry's text from `offset` on, cut at whole characters. None: there is no such entry.
pub fn read(id: &str, offset: u32, length: u32) -> Option<String> {
    store::read(id, offset, length)
}

/// An entry's text, up to so many bytes.
pub fn beginning(id: &str, length: u32) -> Option<String> {
    read(id, 0, length)
}
