//! Durable storage of the plugin's own, granted by `permissions.kv`. No other plugin sees it.

#[cfg(not(target_family = "wasm"))]
use crate::testing::kv as store;
use crate::types::Fault;
#[cfg(target_family = "wasm")]
use crate::wire::imports::kv as store;

/// The value of this key, if there is one.
///
/// # Errors
/// The gateway's store fails.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Fault> {
    store::get(key)
}

/// Sets a key; durable when it returns.
///
/// # Errors
/// `quota` when the key is over 512 bytes, or keys and values together are over the grant; then nothing is changed.
pub fn set(key: &str, value: &[u8]) -> Result<(), Fault> {
    store::set(key, value)
}

/// Deletes a key, and says whether there was one.
///
/// # Errors
/// The gateway's store fails.
pub fn delete(key: &str) -> Result<bool, Fault> {
    store::delete(key)
}

/// At most 1,000 keys with this prefix, in byte order, beginning after `after`.
///
/// # Errors
/// The gateway's store fails.
pub fn keys(prefix: &str, after: Option<&str>) -> Result<Vec<String>, Fault> {
    store::keys(prefix, after)
}
