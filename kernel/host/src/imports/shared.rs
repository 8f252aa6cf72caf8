//! What all instances of one generation of a plugin share.

use std::sync::Arc;

use crate::files::Files;
use crate::journal::Journal;
use crate::limits::Gauge;
use crate::links::Links;
use crate::services::Services;

/// What all instances of one generation of a plugin have in common.
pub(crate) struct Shared {
    pub(crate) links: Links,
    /// Its private directory, if it is granted one.
    pub(crate) files: Option<Files>,
    pub(crate) services: Services,
    pub(crate) journal: Journal,
    pub(crate) gauge: Arc<Gauge>,
}
