//! `prx:plugin/config`: what the operator configured.

use crate::plugin::bindings::config;
use crate::plugin::host::Host;

impl config::Host for Host {
    fn get(&mut self) -> wasmtime::Result<String> {
        Ok(self.shared.links.config.to_string())
    }
}
