//! What a plugin imports, for one test thread.

use crate::log::Level;
use serde::Serialize;
use std::cell::RefCell;

thread_local! {
    static CONFIG: RefCell<String> = RefCell::new("{}".to_owned());
}

/// Configures the plugin, for this thread: what `config::get` finds. Without it: an empty object.
pub fn configure(config: impl Serialize) {
    CONFIG.set(serde_json::to_string(&config).expect("a configuration that serializes"));
}

pub(crate) fn config() -> String {
    CONFIG.with_borrow(String::clone)
}

#[allow(clippy::print_stderr, reason = "the test runner shows it beside the test that fails")]
pub(crate) fn log(level: Level, message: &str) {
    eprintln!("{level:?} {message}");
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
