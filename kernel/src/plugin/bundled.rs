//! The plugins inside the binary. `build.rs` takes them from `plugins/`.

static BUNDLED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// Every bundled plugin's name and component, by name.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    BUNDLED.iter().copied()
}

/// The bundled component of that name.
pub(super) fn find(name: &str) -> Option<&'static [u8]> {
    all().find(|(known, _)| *known == name).map(|(_, bytes)| bytes)
}
