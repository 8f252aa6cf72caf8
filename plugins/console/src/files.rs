//! The files of the page, packed by `build.rs`.

use std::io::Read;

use flate2::read::GzDecoder;
use prx_sdk::route::{Fault, FaultCode, Response};

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// A file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    media_type: &'static str,
    /// Its bytes as gzip.
    packed: &'static [u8],
}

impl File {
    /// The file at this path.
    pub(crate) fn find(path: &str) -> Option<Self> {
        let (path, packed) = FILES.iter().find(|(known, _)| *known == path)?;
        Some(Self { media_type: media_type(path), packed })
    }

    /// 200 with its bytes, as gzip or as they are.
    ///
    /// # Errors
    /// `internal` when they can't be unpacked, which a test rules out.
    pub(crate) fn answer(self, packed: bool) -> Result<Response, Fault> {
        if packed {
            return Ok(Response::new(self.media_type, self.packed).with("content-encoding", "gzip"));
        }
        let mut bytes = Vec::new();
        match GzDecoder::new(self.packed).read_to_end(&mut bytes) {
            Ok(_) => Ok(Response::new(self.media_type, bytes)),
            Err(error) => Err(Fault::new(FaultCode::Internal, error.to_string())),
        }
    }
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// The paths of all files.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(path, _)| *path)
}
