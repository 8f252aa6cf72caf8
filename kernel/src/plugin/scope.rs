//! What one call may see of the conversation that it is made for.

use super::bindings::types::Attachment;
use crate::store::Owner;

/// The part of what the gateway keeps that is open to one call. By default nothing.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The files whose bytes it may read.
    pub attachments: Vec<Attachment>,
    /// Whose memories it may recall. None: it is made for nobody.
    pub owner: Option<Owner>,
    /// The session that it is part of.
    pub session: Option<String>,
}
