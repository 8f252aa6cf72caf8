//! Files on their way between a platform and the store, never whole in memory.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::CONTENT_TYPE;
use tracing::warn;

use prx_base::config::Live;
use prx_base::error::Error;
use prx_egress::{self, BoxError, Failure, Kind};
use prx_host::bindings::{common, connector as wire};
use prx_store::{Attachment, Blob, BlobLimits, Store};

/// The blobs of one channel: those that came in by it or were made for it, and no others.
#[derive(Clone)]
pub(super) struct Blobs {
    channel: String,
    store: Store,
    config: Live,
}

impl Blobs {
    pub(super) fn new(channel: String, store: Store, config: Live) -> Self {
        Self { channel, store, config }
    }

    /// How much blobs may take.
    pub(super) fn limits(&self) -> BlobLimits {
        BlobLimits::from(&self.config.current().store)
    }

    /// Stores an answer's body as a blob while it arrives.
    pub(super) async fn keep(&self, response: prx_egress::Response) -> Result<Blob, Failure> {
        let mime = response.headers.get(CONTENT_TYPE).and_then(|mime| mime.to_str().ok()).map(str::to_owned);
        let mut blob = self.store.new_blob(self.limits()).await.map_err(write_failure)?;
        let mut body = response.body;
        while let Some(frame) = body.frame().await {
            if let Ok(bytes) = frame?.into_data() {
                blob.write(&bytes).await.map_err(write_failure)?;
            }
        }
        blob.keep(&self.channel, mime).await.map_err(write_failure)
    }

    /// A blob as a piece of what is sent.
    pub(super) async fn piece(&self, id: &str) -> Result<prx_egress::Piece, Failure> {
        let blob = self.find(id).map_err(read_failure)?.ok_or_else(|| self.missing(id))?;
        let bytes = self.store.stream_blob(id).await.map_err(read_failure)?;
        Ok(prx_egress::Piece::Stream(pieces(bytes), blob.size))
    }

    /// Reads a blob's contents, if they are not more than `max` bytes.
    pub(super) async fn read(&self, id: &str, max: usize) -> Result<Vec<u8>, Failure> {
        let blob = self.find(id).map_err(read_failure)?.ok_or_else(|| self.missing(id))?;
        if blob.size > max as u64 {
            return Err(denied(format!("blob {id} is larger than the {max} bytes that fit")));
        }
        let bytes = self.store.stream_blob(id).await.map_err(read_failure)?;
        let contents = pieces(bytes).collect().await;
        Ok(contents.map_err(|error| denied(error.to_string()))?.to_bytes().into())
    }

    /// The attachments of a message, as the store keeps them. What is no blob of this channel is left out.
    pub(super) fn attachments(&self, received: Vec<common::Attachment>) -> Vec<Attachment> {
        let known = received.into_iter().filter_map(|attachment| match self.find(&attachment.blob) {
            Ok(Some(blob)) => Some(with_blob(attachment, blob)),
            _ => {
                let reason = self.missing(&attachment.blob).reason;
                warn!(reason, "a message's attachment is left out");
                None
            }
        });
        known.collect()
    }

    /// Leaves out what there is no more of, or never was for this channel, and has the text say so.
    pub(super) fn leave_out_gone(&self, content: &mut wire::Content) {
        let is_gone = |file: &mut common::Attachment| matches!(self.find(&file.blob), Ok(None));
        for file in content.attachments.extract_if(.., is_gone) {
            warn!(reason = self.missing(&file.blob).reason, "an attachment is left out of what is sent");
            let name = file.name.as_deref().unwrap_or("a file");
            let line = format!("[{name} could not be sent: it is no longer kept]");
            let parts = [content.markdown.trim_end(), &line].into_iter().filter(|part| !part.is_empty());
            content.markdown = parts.collect::<Vec<_>>().join("\n\n");
        }
    }

    fn find(&self, id: &str) -> Result<Option<Blob>, Error> {
        Ok(self.store.blob(id)?.filter(|blob| blob.channel == self.channel))
    }

    fn missing(&self, id: &str) -> Failure {
        denied(format!("channel {} has no blob {id}, or not any more", self.channel))
    }
}

fn with_blob(attachment: common::Attachment, blob: Blob) -> Attachment {
    let common::Attachment { kind, name, mime, .. } = attachment;
    Attachment { blob: blob.id, kind: kind.into(), name, mime: mime.or(blob.mime), size: blob.size }
}

fn pieces(bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> prx_egress::Stream {
    StreamBody::new(bytes.map_ok(Frame::data).map_err(BoxError::from)).boxed_unsync()
}

/// A rule refuses a request, before a byte of it has left.
pub(super) fn denied(reason: impl Into<String>) -> Failure {
    Failure { kind: Kind::Denied, sent: false, reason: reason.into() }
}

fn read_failure(error: Error) -> Failure {
    denied(error.message())
}

fn write_failure(error: Error) -> Failure {
    Failure { kind: Kind::TooLarge, sent: true, reason: error.message().to_owned() }
}
