//! `prx:plugin/sink`: takes a provider's answer while it grows.

use wasmtime::component::Resource;

use super::host::Host;
use crate::bindings::sink::{self, Delta};
use crate::delta_sink::DeltaSink;

impl sink::Host for Host {}

impl sink::HostDeltaSink for Host {
    async fn push(&mut self, sink: Resource<DeltaSink>, delta: Delta) -> wasmtime::Result<bool> {
        self.table.get(&sink)?;
        match &self.call.deltas {
            Some(deltas) => {
                let is_taken = deltas.send(delta).await.is_ok();
                self.meter.hear();
                Ok(is_taken)
            }
            None => Ok(false),
        }
    }

    fn drop(&mut self, sink: Resource<DeltaSink>) -> wasmtime::Result<()> {
        self.table.delete(sink)?;
        Ok(())
    }
}
