//! `prx store`

use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{Console, bytes};
use super::paths::Paths;
use crate::api::store::CompactedView;
use prx_base::clock::Clock;
use prx_store::{Deed, Store};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Give the room of what was removed back to the disk; works whether or not the gateway runs, which waits meanwhile
    Compact,
}

pub(super) async fn run(console: &Console, paths: &Paths, command: Command) -> Result<(), Failure> {
    let Command::Compact = command;
    let answer = if console.gateway.is_running().await? {
        console.gateway.post("/api/v1/store/compact", json!({})).await?
    } else if Store::exists(&paths.data_dir) {
        compact(&Store::open(&paths.data_dir, Clock::system())?).await?
    } else {
        return Err(Failure::new(format!("there is no store in {}", paths.data_dir.display())));
    };
    console.show(&answer, |answer| {
        let size = |name: &str| bytes(answer[name].as_u64().unwrap_or_default());
        format!("{} before, {} now", size("bytes_before"), size("bytes_after"))
    })
}

async fn compact(store: &Store) -> Result<Value, Failure> {
    let compacted = store.compact().await;
    let answer = compacted.map(|compacted| json!(CompactedView::from(compacted)));
    if let Ok(sizes) = &answer {
        store.record_audit(Deed::of_owner("store.compacted", "", sizes.clone())).await?;
    }
    store.clone().close().await;
    Ok(answer?)
}
