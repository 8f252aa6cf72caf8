//! State that the gateway keeps between two calls, as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::Fault;

/// What was kept; the default where nothing was.
pub(crate) fn read<T: DeserializeOwned + Default>(kept: &[u8]) -> Result<T, Fault> {
    match kept {
        [] => Ok(T::default()),
        bytes => {
            serde_json::from_slice(bytes).map_err(|e| Fault::internal(format!("cannot read its state: {e}")))
        }
    }
}

/// What is to be kept.
pub(crate) fn write(state: &impl Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(state).map_err(|e| Fault::internal(format!("cannot write its state: {e}")))
}
