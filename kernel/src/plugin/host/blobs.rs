//! `prx:plugin/blobs`: the bytes of the files that a call was given.

use crate::error::{Code, Error};
use crate::plugin::bindings::blobs;
use crate::plugin::bindings::types::{Attachment, Fault, FaultCode};
use crate::plugin::host::Host;

/// Most that one call reads.
const MOST: u32 = 1 << 20;

impl blobs::Host for Host {
    fn given(&mut self) -> wasmtime::Result<Vec<Attachment>> {
        Ok(self.scope.attachments.clone())
    }

    async fn read(
        &mut self,
        id: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Fault>> {
        if !self.scope.attachments.iter().any(|given| given.blob == id) {
            let message = format!("this call was not given the blob {id}");
            return Ok(Err(Fault { code: FaultCode::Denied, message }));
        }
        let read = self.shared.services.store.read_blob(&id, offset, length.min(MOST)).await;
        Ok(read.map_err(|error| unavailable(&id, &error)))
    }
}

fn unavailable(id: &str, error: &Error) -> Fault {
    let message = match error.code() {
        Code::NotFound => format!("the blob {id} is kept no longer"),
        _ => "the gateway's store does not work; its log says why".to_owned(),
    };
    Fault { code: FaultCode::Unavailable, message }
}
