//! The store's file.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::gateway::Gateway;
use prx_base::error::{Code, Result};
use prx_http::{Call, Doc, Reply};
use prx_store::Compacted;

/// The size of the file before and after, in bytes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CompactedStore")]
pub(crate) struct CompactedView {
    bytes_before: u64,
    bytes_after: u64,
}

impl From<Compacted> for CompactedView {
    fn from(Compacted { before, after }: Compacted) -> Self {
        Self { bytes_before: before, bytes_after: after }
    }
}

pub(super) const COMPACT: Doc =
    Doc::new("Give the room of what was removed back to the disk; everything else waits meanwhile")
        .answers::<CompactedView>(&[200])
        .fails(&[Code::Conflict]);

pub(super) async fn compact(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let compacted = gateway.store.compact().await?;
    let details = json!({ "bytes_before": compacted.before, "bytes_after": compacted.after });
    Ok(Reply::ok(&CompactedView::from(compacted))?.noting("", details))
}
