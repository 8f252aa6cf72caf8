//! The plugins that come inside the binary.

/// Their names and components, in the order of their names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bundled(&'static [(&'static str, &'static [u8])]);

impl Bundled {
    /// These.
    pub const fn new(plugins: &'static [(&'static str, &'static [u8])]) -> Self {
        Self(plugins)
    }

    pub(super) fn all(self) -> impl Iterator<Item = (&'static str, &'static [u8])> {
        self.0.iter().copied()
    }

    /// The component of that name.
    pub(super) fn find(self, name: &str) -> Option<&'static [u8]> {
        self.all().find(|(known, _)| *known == name).map(|(_, bytes)| bytes)
    }
}
