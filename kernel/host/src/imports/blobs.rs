//! `prx:plugin/blobs`: the bytes of the files that a call was given, and of those that it makes.

use super::host::Host;
use crate::bindings::blobs;
use crate::bindings::common::{Attachment, Fault, FaultCode};
use crate::journal::Level;
use prx_base::error::{Code, Error};
use prx_store::{FILES_OF_A_CALL, NewBlob};

/// Most bytes that one call reads or writes.
const MAX_CHUNK_BYTES: u32 = 1 << 20;

impl blobs::Host for Host {
    fn given(&mut self) -> wasmtime::Result<Vec<Attachment>> {
        Ok(self.call.scope.attachments.clone())
    }

    async fn read(
        &mut self,
        id: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Fault>> {
        if self.given_size(&id).is_none() {
            return Ok(Err(fault(FaultCode::Denied, format!("this call was not given the blob {id}"))));
        }
        let read = self.shared.services.store.read_blob(&id, offset, length.min(MAX_CHUNK_BYTES)).await;
        Ok(read.map_err(|error| unavailable(&id, &error)))
    }

    async fn write(&mut self, id: Option<String>, bytes: Vec<u8>) -> wasmtime::Result<Result<String, Fault>> {
        if bytes.len() > MAX_CHUNK_BYTES as usize {
            return Ok(Err(fault(
                FaultCode::BadInput,
                format!("{MAX_CHUNK_BYTES} bytes at most are written at a time"),
            )));
        }
        Ok(match self.in_the_making(id).await {
            Ok((id, mut blob)) => blob.write(&bytes).await.map_err(|error| unwritten(&error)).map(|()| {
                self.call.made.insert(id.clone(), blob);
                id
            }),
            Err(fault) => Err(fault),
        })
    }
}

impl Host {
    /// Of the files that a tool's answer names, those that its call was given or has made. The latter are kept from
    /// here on; what is neither is left out.
    pub(crate) async fn keep_named(&mut self, named: Vec<Attachment>) -> Vec<Attachment> {
        let mut kept: Vec<Attachment> = Vec::with_capacity(named.len());
        for file in named {
            if kept.iter().any(|before| before.blob == file.blob) {
                continue;
            }
            match self.size_of(&file).await {
                Ok(size) => kept.push(Attachment { size, ..file }),
                Err(reason) => {
                    let line = format!("a tool's attachment {} is left out: {reason}", file.blob);
                    self.shared.journal.write(Level::Warn, &line);
                }
            }
        }
        kept
    }

    /// How large a file is that a tool's answer names, kept by now; or why the tool may not name it.
    async fn size_of(&mut self, file: &Attachment) -> Result<u64, String> {
        let Some(blob) = self.call.made.remove(&file.blob) else {
            return self
                .given_size(&file.blob)
                .ok_or_else(|| "its call neither made it nor was given it".into());
        };
        let channel = self.call.scope.makes.as_ref().map(|makes| makes.channel.as_str());
        let kept = blob.keep(channel.unwrap_or_default(), file.mime.clone()).await;
        kept.map(|blob| blob.size).map_err(|error| error.message().to_owned())
    }

    fn given_size(&self, id: &str) -> Option<u64> {
        let given = self.call.scope.attachments.iter().find(|given| given.blob == id);
        given.map(|given| given.size)
    }

    /// A new file, or the one of this id that the call is making.
    async fn in_the_making(&mut self, id: Option<String>) -> Result<(String, NewBlob), Fault> {
        let Some(makes) = &self.call.scope.makes else {
            return Err(fault(FaultCode::Denied, "only the call of a tool makes files"));
        };
        if let Some(id) = id {
            let unknown = || fault(FaultCode::Denied, format!("this call does not make the file {id}"));
            return self.call.made.remove_entry(&id).ok_or_else(unknown);
        }
        if self.call.made.len() >= FILES_OF_A_CALL {
            return Err(fault(FaultCode::Quota, format!("a call makes {FILES_OF_A_CALL} files at most")));
        }
        let blob = self.shared.services.store.new_blob(makes.limits).await;
        blob.map(|blob| (blob.id().to_owned(), blob)).map_err(|error| unwritten(&error))
    }
}

fn fault(code: FaultCode, message: impl Into<String>) -> Fault {
    Fault { code, message: message.into() }
}

fn unwritten(error: &Error) -> Fault {
    let code = match error.code() {
        Code::PayloadTooLarge => FaultCode::TooLarge,
        _ => FaultCode::Unavailable,
    };
    fault(code, error.message())
}

fn unavailable(id: &str, error: &Error) -> Fault {
    let message = match error.code() {
        Code::NotFound => format!("the blob {id} is kept no longer"),
        _ => "the gateway's store does not work; its log says why".to_owned(),
    };
    fault(FaultCode::Unavailable, message)
}
