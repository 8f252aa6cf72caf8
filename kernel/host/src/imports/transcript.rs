//! `prx:plugin/transcript`: what was said in the session whose turn an agent works on.

use super::host::Host;
use crate::bindings::transcript;

impl transcript::Host for Host {
    fn read(&mut self, id: String, offset: u32, length: u32) -> wasmtime::Result<Option<String>> {
        let Some(transcript) = &self.call.scope.transcript else { return Ok(None) };
        Ok(transcript.read(&id).map(|text| part(&text, offset as usize, length as usize).to_owned()))
    }
}

/// A part of a text, in bytes, at whole characters.
fn part(text: &str, offset: usize, length: usize) -> &str {
    let from = text.ceil_char_boundary(offset.min(text.len()));
    let to = text.floor_char_boundary(offset.saturating_add(length).min(text.len()));
    text.get(from..to).unwrap_or_default()
}
