//! What one call may see of the conversation that it is made for, and what it may add.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use super::bindings::common::Attachment;
use prx_store::{BlobLimits, Owner};

/// The part of what the gateway keeps that is open to one call. By default nothing.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The files whose bytes it may read.
    pub attachments: Vec<Attachment>,
    /// Whose memories it may recall. None: it is made for nobody.
    pub owner: Option<Owner>,
    /// The session that it is part of.
    pub session: Option<String>,
    /// The files it may make. None: it may make none.
    pub makes: Option<Makes>,
    /// What was said in the session, for its agent alone.
    pub transcript: Option<Arc<dyn Transcript>>,
}

/// The texts of a session's entries.
pub trait Transcript: Debug + Send + Sync {
    /// The text of the entry of this id; none if there is none.
    fn read(&self, id: &str) -> Option<Cow<'_, str>>;
}

/// Whom the files are for that a call makes, and how large they may be.
#[derive(Debug, Clone)]
pub struct Makes {
    /// The channel that may send them.
    pub channel: String,
    /// How much they may take.
    pub limits: BlobLimits,
}
