//! Lines for the operator. No secrets, and no message texts.
//!
//! For tools, skills and providers; a connector logs with a command. Away from WebAssembly the lines go to stderr.

pub use crate::wire::imports::common::LogLevel as Level;

/// Writes a line of this level.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::wire::imports::log::log(level, message);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::log(level, message);
}

/// Something that helps to find a defect.
pub fn debug(message: &str) {
    log(Level::Debug, message);
}

/// Something worth knowing.
pub fn info(message: &str) {
    log(Level::Info, message);
}

/// Something that may need the operator.
pub fn warn(message: &str) {
    log(Level::Warn, message);
}

/// Something that went wrong.
pub fn error(message: &str) {
    log(Level::Error, message);
}
