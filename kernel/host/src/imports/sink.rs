//! `prx:plugin/sink`: where a provider says things as they come.

use tokio::sync::mpsc;
use wasmtime::component::Resource;

use crate::bindings::sink::{self, Delta};
use crate::imports::Host;

/// The kernel's end of a `delta-sink`.
#[derive(Debug)]
pub struct DeltaSink(pub(crate) mpsc::Sender<Delta>);

impl sink::Host for Host {}

impl sink::HostDeltaSink for Host {
    async fn push(&mut self, sink: Resource<DeltaSink>, delta: Delta) -> wasmtime::Result<bool> {
        Ok(self.table.get(&sink)?.0.send(delta).await.is_ok())
    }

    fn drop(&mut self, sink: Resource<DeltaSink>) -> wasmtime::Result<()> {
        self.table.delete(sink)?;
        Ok(())
    }
}
