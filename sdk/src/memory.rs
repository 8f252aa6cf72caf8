//! What the agent remembers of the person that a call is made for, granted by `permissions.memory`.
//!
//! For tools, skills and providers. Away from WebAssembly, [`crate::testing`] remembers for one thread.

#[cfg(not(target_family = "wasm"))]
use crate::testing::memory as store;
use crate::types::Fault;
#[cfg(target_family = "wasm")]
use crate::wire::imports::memory as store;

pub use crate::wire::imports::memory::MemoryEntry;

/// Up to `limit` memories that have words in common with the query, the most fitting first.
///
/// # Errors
/// `denied` in a call that is made for nobody; `unavailable` when the gateway's store fails.
pub fn recall(query: &str, limit: u32) -> Result<Vec<MemoryEntry>, Fault> {
    store::recall(query, limit)
}

/// Remembers a text, which is found by its words and by those of its tags. Answers with its id.
///
/// # Errors
/// As for [`recall`]; `denied` also where only reading is granted, `bad-input` when it is over 4 KiB, `quota` when there
/// are too many memories.
pub fn remember(text: &str, tags: &[String]) -> Result<String, Fault> {
    store::remember(text, tags)
}

/// Forgets a memory, and says whether there was one of this id.
///
/// # Errors
/// As for [`remember`].
pub fn forget(id: &str) -> Result<bool, Fault> {
    store::forget(id)
}
