//! `prx:plugin/log`: lines for the operator.

use super::host::Host;
use crate::bindings::log;
use crate::journal::Level;

impl log::Host for Host {
    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.shared.journal.write(level, &message);
        Ok(())
    }
}
