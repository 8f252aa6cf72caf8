//! `wasi:cli` output: what a guest prints, such as the message of a panic, goes to its log.

use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::shared::Shared;
use crate::journal::Level;

/// Longest line, in bytes; a longer one is logged in pieces.
const MAX_LINE_BYTES: usize = 8 << 10;

/// One of a guest's two output streams.
pub(super) struct LogStream {
    pub(super) shared: Arc<Shared>,
    pub(super) level: Level,
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Lines { shared: Arc::clone(&self.shared), level: self.level, line: Vec::new() })
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, and the kernel links 0.2.
        Box::new(tokio::io::sink())
    }
}

/// A stream cut into lines.
struct Lines {
    shared: Arc<Shared>,
    level: Level,
    line: Vec<u8>,
}

impl Lines {
    fn log(&mut self) {
        let line = mem::take(&mut self.line);
        if !line.is_empty() {
            self.shared.journal.write(self.level, &String::from_utf8_lossy(&line));
        }
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.line.extend_from_slice(text);
            if text.len() < piece.len() || self.line.len() >= MAX_LINE_BYTES {
                self.log();
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_LINE_BYTES)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.log();
    }
}
