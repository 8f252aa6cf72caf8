//! Answers that come encoded although they were asked for plainly.

use std::io::{self, Write};
use std::mem::take;

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use hyper::header::{self, HeaderMap};

/// Bytes that are decoded in one step. What they stand for is a thousand times as much at most.
pub(super) const STEP_BYTES: usize = 512;

/// Decodes a body piece by piece.
pub(super) struct Decoder {
    encoding: Encoding,
    begun: bool,
}

enum Encoding {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Deflate(ZlibDecoder<Vec<u8>>),
}

impl Decoder {
    /// The decoder for the body under these headers, which say then that it is plain. None: it is not encoded, or in no
    /// way that is known here.
    pub(super) fn of(headers: &mut HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let encoding = match value.to_str().ok()?.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Encoding::Gzip(MultiGzDecoder::new(Vec::new())),
            "deflate" => Encoding::Deflate(ZlibDecoder::new(Vec::new())),
            _ => return None,
        };
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        Some(Self { encoding, begun: false })
    }

    /// What these bytes stand for, as far as it can be known yet.
    ///
    /// # Errors
    /// They are not encoded so.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.begun = true;
        match &mut self.encoding {
            Encoding::Gzip(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                Ok(take(decoder.get_mut()))
            }
            Encoding::Deflate(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                Ok(take(decoder.get_mut()))
            }
        }
    }

    /// What is left once the last byte was pushed.
    ///
    /// # Errors
    /// There should be more.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self.encoding {
            _ if !self.begun => Ok(Vec::new()),
            Encoding::Gzip(decoder) => decoder.finish(),
            Encoding::Deflate(decoder) => decoder.finish(),
        }
    }
}
