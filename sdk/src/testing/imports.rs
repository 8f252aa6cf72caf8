//! What a plugin imports, for one test thread.

use crate::types::Attachment;
use crate::wire::imports::common::LogLevel as Level;
use serde::Serialize;
use std::cell::RefCell;

thread_local! {
    static CONFIG: RefCell<String> = RefCell::new("{}".to_owned());
    static SECRETS: RefCell<Vec<String>> = RefCell::default();
}

/// Configures the plugin, for this thread: what `config::get` finds. Without it: an empty object.
pub fn configure(config: impl Serialize) {
    CONFIG.set(serde_json::to_string(&config).expect("a configuration that serializes"));
}

/// Sets the secrets of these names, for this thread: what `config::has_secret` finds. Without it: none.
pub fn set_secrets(names: &[&str]) {
    SECRETS.set(names.iter().map(|name| (*name).to_owned()).collect());
}

pub(crate) fn secrets() -> Vec<String> {
    SECRETS.with_borrow(Vec::clone)
}

pub(crate) fn config() -> String {
    CONFIG.with_borrow(String::clone)
}

#[allow(clippy::print_stderr, reason = "the test runner shows it beside the test that fails")]
pub(crate) fn log(level: Level, message: &str) {
    eprintln!("{level:?} {message}");
}

/// Gives the calls of this thread a file with these bytes, as if it came with a message; answers with what stands for it.
pub fn give(mime: &str, bytes: impl Into<Vec<u8>>) -> Attachment {
    blobs::add(mime, bytes.into())
}

/// The bytes of a file that a tool has made on this thread.
///
/// # Panics
/// When there is none of this id.
pub fn made(file: &Attachment) -> Vec<u8> {
    blobs::bytes(&file.blob).expect("a file that was made on this thread")
}

/// The files that a test gave.
pub(crate) mod blobs {
    use crate::types::{Attachment, AttachmentKind, Fault, FaultCode};
    use std::cell::RefCell;

    thread_local! {
        static GIVEN: RefCell<Vec<(Attachment, Vec<u8>)>> = RefCell::default();
        static MADE: RefCell<Vec<(String, Vec<u8>)>> = RefCell::default();
    }

    pub(crate) fn add(mime: &str, bytes: Vec<u8>) -> Attachment {
        let kind = AttachmentKind::of(mime);
        GIVEN.with_borrow_mut(|given| {
            let blob = format!("blob_{}", given.len() + 1);
            let (mime, size) = (Some(mime.to_owned()), bytes.len() as u64);
            let attachment = Attachment { blob, kind, name: None, mime, size };
            given.push((attachment.clone(), bytes));
            attachment
        })
    }

    pub(crate) fn given() -> Vec<Attachment> {
        GIVEN.with_borrow(|given| given.iter().map(|(attachment, _)| attachment.clone()).collect())
    }

    pub(crate) fn read(id: &str, offset: u64, length: u32) -> Result<Vec<u8>, Fault> {
        GIVEN.with_borrow(|given| {
            let bytes = given.iter().find(|(attachment, _)| attachment.blob == id).map(|(_, bytes)| bytes);
            let denied = || Fault::new(FaultCode::Denied, format!("this call was not given the blob {id}"));
            let rest = usize::try_from(offset).ok().and_then(|offset| bytes?.get(offset..));
            let length = length.min(crate::blobs::MAX_PIECE_BYTES) as usize;
            bytes.ok_or_else(denied)?;
            Ok(rest.unwrap_or_default().iter().take(length).copied().collect())
        })
    }

    /// Without the gateway's bounds on how large and how many they may be.
    pub(crate) fn write(id: Option<&str>, bytes: &[u8]) -> Result<String, Fault> {
        MADE.with_borrow_mut(|made| {
            let id = id.map_or_else(|| format!("blob_made_{}", made.len() + 1), str::to_owned);
            match made.iter_mut().find(|(known, _)| *known == id) {
                Some((_, file)) => file.extend_from_slice(bytes),
                None => made.push((id.clone(), bytes.to_owned())),
            }
            Ok(id)
        })
    }

    pub(crate) fn bytes(id: &str) -> Option<Vec<u8>> {
        MADE.with_borrow(|made| made.iter().find(|(known, _)| known == id).map(|(_, bytes)| bytes.clone()))
    }
}

/// Storage without quota, empty at the start of each thread.
pub(crate) mod kv {
    use crate::types::{Fault, FaultCode};
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static ENTRIES: RefCell<BTreeMap<String, Vec<u8>>> = RefCell::default();
    }

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(ENTRIES.with_borrow(|entries| entries.get(key).cloned()))
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Fault> {
        if key.len() > 512 {
            return Err(Fault::new(FaultCode::Quota, "a key has at most 512 bytes"));
        }
        ENTRIES.with_borrow_mut(|entries| entries.insert(key.to_owned(), value.to_owned()));
        Ok(())
    }

    pub(crate) fn delete(key: &str) -> Result<bool, Fault> {
        Ok(ENTRIES.with_borrow_mut(|entries| entries.remove(key).is_some()))
    }

    pub(crate) fn keys(prefix: &str, after: Option<&str>) -> Result<Vec<String>, Fault> {
        ENTRIES.with_borrow(|entries| {
            let all = entries.keys().filter(|key| key.starts_with(prefix));
            Ok(all.filter(|key| after.is_none_or(|after| key.as_str() > after)).take(1000).cloned().collect())
        })
    }
}

/// Memories of the one person that a test thread speaks for; found when they share a word with what is looked for.
pub(crate) mod memory {
    use crate::memory::MemoryEntry;
    use crate::types::Fault;
    use std::cell::RefCell;

    thread_local! {
        static MEMORIES: RefCell<Vec<MemoryEntry>> = RefCell::default();
    }

    pub(crate) fn recall(query: &str, limit: u32) -> Result<Vec<MemoryEntry>, Fault> {
        let words = |text: &str| -> Vec<String> {
            let split = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            split.map(str::to_lowercase).collect()
        };
        let sought = words(query);
        let fits = |entry: &&MemoryEntry| {
            let text = format!("{} {}", entry.text, entry.tags.join(" "));
            words(&text).iter().any(|word| sought.contains(word))
        };
        let found = |all: &Vec<MemoryEntry>| all.iter().filter(fits).take(limit as usize).cloned().collect();
        Ok(MEMORIES.with_borrow(found))
    }

    pub(crate) fn remember(text: &str, tags: &[String]) -> Result<String, Fault> {
        if text.is_empty() || text.len() > 4096 {
            return Err(Fault::bad_input("a memory has 1 to 4096 bytes"));
        }
        MEMORIES.with_borrow_mut(|memories| {
            let id = format!("mem_{}", memories.len() + 1);
            let (text, tags) = (text.to_owned(), tags.to_vec());
            memories.push(MemoryEntry { id: id.clone(), text, tags, created_at: 0 });
            Ok(id)
        })
    }

    pub(crate) fn forget(id: &str) -> Result<bool, Fault> {
        MEMORIES.with_borrow_mut(|memories| {
            let before = memories.len();
            memories.retain(|entry| entry.id != id);
            Ok(memories.len() < before)
        })
    }
}

/// The entries of the one conversation that a test thread plays.
pub(crate) mod transcript {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static ENTRIES: RefCell<BTreeMap<String, String>> = RefCell::default();
    }

    pub(crate) fn read(id: &str, offset: u32, length: u32) -> Option<String> {
        ENTRIES.with_borrow(|entries| {
            let text = entries.get(id)?;
            Some(super::super::conversation::cut(text, offset as usize, length as usize))
        })
    }

    pub(crate) fn keep(id: &str, text: &str) {
        ENTRIES.with_borrow_mut(|entries| entries.insert(id.to_owned(), text.to_owned()));
    }

    pub(crate) fn clear() {
        ENTRIES.with_borrow_mut(BTreeMap::clear);
    }
}
