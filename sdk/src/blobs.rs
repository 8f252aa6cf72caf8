//! The bytes of images and files, as far as this call was given them.
//!
//! For tools, skills and providers; a connector names blobs in its requests and never sees their bytes.

#[cfg(not(target_family = "wasm"))]
use crate::testing::blobs as store;
use crate::types::{Attachment, Fault};
#[cfg(target_family = "wasm")]
use crate::wire::imports::blobs as store;

/// Most bytes that [`read`] returns.
pub const MOST: u32 = 1 << 20;

/// What this call was given: for a provider the files in its request, for a tool or a skill those that came with the
/// message it is called for.
pub fn given() -> Vec<Attachment> {
    store::given()
}

/// Up to `length` bytes from `offset` on, [`MOST`] at most; fewer than that only at the end, none beyond it.
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
        let piece = read(id, offset, MOST);
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
