//! `prx:plugin/kv`: durable storage of the plugin's own, up to its quota.

use super::host::Host;
use crate::bindings::common::{Fault, FaultCode};
use crate::bindings::kv;
use prx_base::error::Error;

/// Most keys in one answer.
const MAX_KEYS: usize = 1000;

impl kv::Host for Host {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Fault>> {
        Ok(self.shared.services.store.kv_get(&self.shared.links.name, &key).map_err(unavailable))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Fault>> {
        let links = &self.shared.links;
        let quota = links.kv_bytes.unwrap_or(0);
        let stored = self.shared.services.store.kv_set(&links.name, &key, value, quota).await;
        Ok(match stored {
            Ok(Ok(())) => Ok(()),
            Ok(Err(over)) => Err(Fault { code: FaultCode::Quota, message: over.to_string() }),
            Err(error) => Err(unavailable(error)),
        })
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<bool, Fault>> {
        let deleted = self.shared.services.store.kv_delete(&self.shared.links.name, &key).await;
        Ok(deleted.map_err(unavailable))
    }

    async fn keys(
        &mut self,
        prefix: String,
        after: Option<String>,
    ) -> wasmtime::Result<Result<Vec<String>, Fault>> {
        let store = &self.shared.services.store;
        let keys = store.kv_keys(&self.shared.links.name, &prefix, after.as_deref(), MAX_KEYS);
        Ok(keys.map_err(unavailable))
    }
}

fn unavailable(error: Error) -> Fault {
    Fault { code: FaultCode::Unavailable, message: error.message().to_owned() }
}
