//! The plugins inside the binary. `build.rs` takes them from `plugins/`.

use prx_host::Bundled;

/// Every bundled plugin, by name.
pub(crate) static BUNDLED: Bundled = Bundled::new(include!(concat!(env!("OUT_DIR"), "/bundled.rs")));
