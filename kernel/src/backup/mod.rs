//! A backup: one file with everything that a gateway keeps and that can't be made anew. It is a tar archive, compressed with
//! gzip: what it is (`backup.json`), the configuration, a copy of the store, the files that go with messages, the plugins'
//! files, the skills' folders and the plugins' private directories, and at its end the SHA-256 of each (`manifest.json`).

mod form;
mod read;
mod restore;
#[cfg(test)]
mod tests;
mod write;

pub use self::form::{Header, Problem};
pub use self::read::{Found, header, read};
pub use self::restore::{Restore, Restored};
pub use self::write::Source;
