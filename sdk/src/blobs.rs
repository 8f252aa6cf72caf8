//! The bytes of images and files: of those that this call was given, and of those that a tool makes.
//!
//! For tools, skills and providers; a connector names blobs in its requests and never sees their bytes.
//!
//! ```
//! use prx_sdk::blobs;
//! use prx_sdk::tool::{Fault, ToolOutput};
//!
//! /// Answers with a file, which goes out with the agent's reply.
//! fn table(rows: &str) -> Result<ToolOutput, Fault> {
//!     let file = blobs::make("table.csv", "text/csv", rows.as_bytes())?;
//!     Ok(ToolOutput::from("The table is in table.csv").with(file))
//! }
//! # use prx_sdk::testing::made;
//! # assert_eq!(made(&table("a,b").unwrap().attachments[0]), b"a,b");
//! ```

#[cfg(not(target_family = "wasm"))]
use crate::testing::blobs as store;
use crate::types::{Attachment, AttachmentKind, Fault};
#[cfg(target_family = "wasm")]
use crate::wire::imports::blobs as store;

/// Most bytes that one [`read`] returns, and that one [`write`] takes.
pub const MAX_PIECE_BYTES: u32 = 1 << 20;

/// What this call was given: for a provider the files in its request, for a tool or a skill those that came with the
/// message it is called for.
pub fn given() -> Vec<Attachment> {
    store::given()
}

/// Up to `length` bytes from `offset` on, [`MAX_PIECE_BYTES`] at most; fewer than that only at the end, none beyond it.
///
/// # Errors
/// `denied` for a blob that this call was not given; `unavailable` for one that is kept no longer.
pub fn read(id: &str, offset: u64, length: u32) -> Result<Vec<u8>, Fault> {
    store::read(id, offset, length)
}

/// All bytes of a blob, a piece at a time.
///
/// # Errors
/// As for [`read`], and then nothing follows.
pub fn pieces(id: &str) -> impl Iterator<Item = Result<Vec<u8>, Fault>> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let offset = next?;
        let piece = read(id, offset, MAX_PIECE_BYTES);
        let length = piece.as_ref().map_or(0, Vec::len);
        next = (length > 0).then_some(offset + length as u64);
        (piece.is_err() || length > 0).then_some(piece)
    })
}

/// A blob as a whole.
///
/// # Errors
/// As for [`read`].
pub fn whole(id: &str) -> Result<Vec<u8>, Fault> {
    Ok(pieces(id).collect::<Result<Vec<_>, _>>()?.concat())
}

/// Makes a file of these bytes, for a tool to put among the attachments of its answer: with
/// [`ToolOutput::with`](crate::tool::ToolOutput::with). One that the answer does not name is not kept.
///
/// # Errors
/// As for [`write`].
pub fn make(name: &str, mime: &str, bytes: &[u8]) -> Result<Attachment, Fault> {
    let mut pieces = bytes.chunks(MAX_PIECE_BYTES as usize);
    let blob = write(None, pieces.next().unwrap_or_default())?;
    for piece in pieces {
        write(Some(&blob), piece)?;
    }
    Ok(Attachment {
        blob,
        kind: AttachmentKind::of(mime),
        name: Some(name.to_owned()),
        mime: Some(mime.to_owned()),
        size: bytes.len() as u64,
    })
}

/// Makes a file of up to [`MAX_PIECE_BYTES`] bytes, or adds them to the one of this id; answers with its id. For a file that is
/// made piece by piece; for any other there is [`make`].
///
/// # Errors
/// `quota` when the file becomes larger than the gateway keeps, which is the end of it, and for more than 16 files in a
/// call; `denied` where the call is not a tool's, or has made no file of this id; `unavailable` when the disk takes no
/// more.
pub fn write(id: Option<&str>, bytes: &[u8]) -> Result<String, Fault> {
    store::write(id, bytes)
}
