//! `prx:plugin/memory`: what is remembered of the person that a call is made for.

use super::host::Host;
use crate::bindings::common::{Fault, FaultCode};
use crate::bindings::memory;
use crate::manifest::MemoryAccess;
use crate::memory::Memory;
use prx_base::error::{Code, Error};
use prx_store::{MemoryEntry, Owner};

/// Most memories in one answer.
const MAX_RECALLED: u32 = 100;

impl memory::Host for Host {
    async fn recall(
        &mut self,
        query: String,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<memory::MemoryEntry>, Fault>> {
        let recall = || {
            let (memory, owner) = self.memory()?;
            let found = memory.recall(&owner, &query, limit.min(MAX_RECALLED) as usize).map_err(fault)?;
            Ok(found.into_iter().map(self::entry).collect())
        };
        Ok(recall())
    }

    async fn remember(&mut self, text: String, tags: Vec<String>) -> wasmtime::Result<Result<String, Fault>> {
        let session = self.call.scope.session.clone();
        Ok(match self.memory_to_write() {
            Ok((memory, owner)) => {
                let remembered = memory.remember(&owner, &text, tags, session).await;
                remembered.map(|entry| entry.id).map_err(fault)
            }
            Err(denied) => Err(denied),
        })
    }

    async fn forget(&mut self, id: String) -> wasmtime::Result<Result<bool, Fault>> {
        Ok(match self.memory_to_write() {
            Ok((memory, owner)) => memory.forget(&owner, &id).await.map_err(fault),
            Err(denied) => Err(denied),
        })
    }
}

impl Host {
    fn memory(&self) -> Result<(Memory, Owner), Fault> {
        let nobody = "this call is made for nobody whose memories there could be: make it in a session";
        let owner = self.call.scope.owner.clone().ok_or_else(|| denied(nobody))?;
        Ok((Memory::new(self.shared.services.store.clone()), owner))
    }

    fn memory_to_write(&self) -> Result<(Memory, Owner), Fault> {
        match self.shared.links.memory {
            Some(MemoryAccess::Write) => self.memory(),
            _ => Err(denied("only reading memories is granted; it takes permissions.memory = \"write\"")),
        }
    }
}

fn entry(entry: MemoryEntry) -> memory::MemoryEntry {
    let created_at = u64::try_from(entry.created_at.as_millisecond()).unwrap_or(0);
    memory::MemoryEntry { id: entry.id, text: entry.text, tags: entry.tags, created_at }
}

fn denied(message: &str) -> Fault {
    Fault { code: FaultCode::Denied, message: message.to_owned() }
}

fn fault(error: Error) -> Fault {
    let code = match error.code() {
        Code::BadRequest => FaultCode::BadInput,
        Code::Conflict => FaultCode::Quota,
        _ => FaultCode::Unavailable,
    };
    Fault { code, message: error.message().to_owned() }
}
