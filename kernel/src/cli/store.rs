//! `prx store`

use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{Console, bytes, printable, table};
use super::paths::Paths;
use crate::api::store::CompactedView;
use prx_base::clock::Clock;
use prx_store::{Deed, Store};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Give the room of what was removed back to the disk; works whether or not the gateway runs, which waits meanwhile
    Compact,
    /// Read everything that is kept, and follow what refers to something; works whether or not the gateway runs. Where it
    /// doesn't, every page of the file is looked at, too
    Check,
}

pub(super) async fn run(console: &Console, paths: &Paths, command: Command) -> Result<(), Failure> {
    let is_running = console.gateway.is_running().await?;
    if !is_running && !Store::exists(&paths.data_dir) {
        return Err(Failure::new(format!("there is no store in {}", paths.data_dir.display())));
    }
    match command {
        Command::Compact => {
            let answer = match is_running {
                true => console.gateway.post("/api/v1/store/compact", json!({})).await?,
                false => compact(&Store::open(&paths.data_dir, Clock::system())?).await?,
            };
            console.show(&answer, |answer| {
                let size = |name: &str| bytes(answer[name].as_u64().unwrap_or_default());
                format!("{} before, {} now", size("bytes_before"), size("bytes_after"))
            })
        }
        Command::Check => {
            let answer = match is_running {
                true => console.gateway.get("/api/v1/store/check").await?,
                false => check(&Store::open_verified(&paths.data_dir, Clock::system())?).await?,
            };
            console.show(&answer, report)?;
            match answer["fault_count"].as_u64() {
                Some(0) => Ok(()),
                Some(1) => Err(Failure::new("there is one fault in the store")),
                _ => Err(Failure::new(format!("there are {} faults in the store", answer["fault_count"]))),
            }
        }
    }
}

/// What was looked at, and what is wrong.
fn report(answer: &Value) -> String {
    let rows = answer["rows"].as_object().into_iter().flatten();
    let rows = rows.filter(|(_, count)| count.as_u64() > Some(0));
    let rows = rows.map(|(table, count)| json!({"table": table, "rows": count})).collect();
    let (files, size) = (&answer["files"], bytes(answer["files_bytes"].as_u64().unwrap_or_default()));
    let mut words = table(&Value::Array(rows), &["table", "rows"]);
    words.push_str(&format!("\nfiles of messages: {files}, {size}; format {}", answer["format"]));
    for fault in answer["faults"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        words.push_str(&format!("\nfault: {}", printable(fault, false)));
    }
    words
}

async fn check(store: &Store) -> Result<Value, Failure> {
    let checked = store.check().await.map(|checked| json!(checked));
    store.clone().close().await;
    Ok(checked?)
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
