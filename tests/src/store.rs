//! A store between two starts, as a gateway would have left it that was down for long.

use std::fs;
use std::path::Path;

use prx_base::clock::Clock;
use prx_base::events::{Kind, NewEvent};
use prx_store::Store;
use serde_json::json;

use sha2::{Digest, Sha256};

use crate::gateway::Home;

/// Has a job look as if its last times had passed while nothing ran: for two years.
pub async fn rewind_job(home: &Home, plugin: &str, name: &str) {
    let clock = Clock::system();
    let store = Store::open(&home.data(), clock.clone()).expect("a store that nobody has open");
    let through = clock.now() - std::time::Duration::from_secs(2 * 365 * 24 * 60 * 60);
    store.skip_job(plugin, name, through).await.expect("a job that was noticed");
    store.close().await;
}

/// Whether the times of a job that have passed are dealt with.
pub async fn is_dealt_with(home: &Home, plugin: &str, name: &str) -> bool {
    let clock = Clock::system();
    let store = Store::open(&home.data(), clock.clone()).expect("a store that nobody has open");
    let record = store.job(plugin, name).expect("a store").expect("a job that was noticed");
    store.close().await;
    clock.now().duration_since(record.through).as_hours() < 24
}

/// Has a store take the compiled components beside it for its own.
pub(crate) async fn know_compiled(data_dir: &Path) {
    let store = Store::open(data_dir, Clock::system()).expect("a store that nobody has open");
    for file in fs::read_dir(data_dir.join("cache")).expect("compiled components") {
        let file = file.expect("a file").path();
        let key = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let digest = Sha256::digest(fs::read(&file).expect("a file")).into();
        store.put_artifact(&key, digest).await.expect("a disk with room");
    }
    store.close().await;
}

/// Has so many events of a mebibyte each happen, `session.created` as far as anyone can tell.
pub async fn fill_event_log(home: &Home, events: usize) {
    let store = Store::open(&home.data(), Clock::system()).expect("a store that nobody has open");
    let large = "x".repeat(1 << 20);
    for _ in 0..events {
        let data = json!({ "session_id": "sess_none", "large": large });
        store.record_event(NewEvent { kind: Kind::SessionCreated, data }).await.expect("a disk with room");
    }
    store.close().await;
}
