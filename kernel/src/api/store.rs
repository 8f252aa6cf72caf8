//! The store's file.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use tokio::sync::mpsc;

use crate::backup::Source;
use crate::gateway::Gateway;
use prx_base::error::{Code, Result};
use prx_http::{BrokenOff, Call, Doc, Reply};
use prx_store::{Checked, Compacted};

/// Bytes of a backup that are sent at a time.
const PIECE: usize = 64 << 10;
/// Pieces that wait to be sent.
const PIECES: usize = 4;

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

pub(super) const CHECK: Doc =
    Doc::new("Read everything that is kept, and follow what refers to something").answers::<Checked>(&[200]);

pub(super) async fn check(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    Reply::ok(&gateway.store.check().await?)
}

pub(super) const BACK_UP: Doc = Doc::new(
    "Get a backup: the store as it is now, the configuration with its secrets, files, plugins and skills, as tar with gzip",
)
.or_as("application/gzip")
.fails(&[Code::Conflict]);

pub(super) async fn back_up(gateway: Arc<Gateway>, _: Call) -> Result<Reply> {
    let at = gateway.base.clock.now();
    let copy = gateway.store.copy().await?;
    let (data_dir, config) = (gateway.data_dir.clone(), gateway.settings.text().await);
    let source = Source { data_dir, config, copy, at };
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let to = BufWriter::with_capacity(PIECE, Pieces(sender.clone()));
        if let Err(problem) = source.write(to) {
            tracing::warn!("a backup broke off: {problem}");
            // Whoever asked for it may have gone away.
            let _ = sender.blocking_send(Err(BrokenOff));
        }
    });
    let pieces = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    Ok(Reply::download("application/gzip", Box::pin(pieces)))
}

/// Sends what is written, as fast as it is taken.
struct Pieces(mpsc::Sender<std::result::Result<Bytes, BrokenOff>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::new(ErrorKind::BrokenPipe, "nobody takes it any more"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
