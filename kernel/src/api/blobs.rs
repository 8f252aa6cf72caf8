//! The bytes of the files that go with messages.

use std::sync::Arc;

use futures_util::StreamExt;
use tracing::warn;

use crate::gateway::Gateway;
use prx_base::error::{Error, Result};
use prx_http::{Call, Doc, Reply};

pub(super) const SHOW: Doc =
    Doc::new("Get the bytes of a file that goes with a message, by the `blob` of its attachment")
        .or_as("*/*");

pub(super) async fn show(gateway: Arc<Gateway>, call: Call) -> Result<Reply> {
    let (store, id) = (&gateway.store, call.param("id").to_owned());
    let blob = store.blob(&id)?.ok_or_else(|| Error::not_found("Blob", &id))?;
    let bytes = store.stream_blob(&id).await?.scan(id, |id, piece| {
        let read = piece.inspect_err(|error| warn!(blob = id, %error, "a file can't be read to its end"));
        std::future::ready(read.ok())
    });
    Ok(Reply::file(blob.mime.as_deref(), blob.size, bytes))
}
