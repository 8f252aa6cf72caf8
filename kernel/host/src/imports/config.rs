//! `prx:plugin/config`: what the operator configured.

use super::host::Host;
use crate::bindings::config;

impl config::Host for Host {
    fn get(&mut self) -> wasmtime::Result<String> {
        Ok(self.shared.links.config.to_string())
    }

    fn secrets(&mut self) -> wasmtime::Result<Vec<String>> {
        let policy = self.shared.links.http.as_ref();
        Ok(policy.into_iter().flat_map(|policy| policy.secrets().names()).map(str::to_owned).collect())
    }
}
