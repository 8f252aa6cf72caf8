//! What one call may see of the conversation that it is made for, and what it may add.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::bindings::common::{Attachment, Fault, ToolSpec};
use super::bindings::turns::{Input, Opening, Piece};
use prx_base::traces::TraceContext;
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
    /// Turns of whoever calls the route. None: it is no call of a route.
    pub turns: Option<Arc<dyn CallerTurns>>,
    /// What its requests are part of in a trace, where the servers that it asks are to know.
    pub trace: Option<TraceContext>,
}

/// Turns on behalf of the caller of a route.
pub trait CallerTurns: Debug + Send + Sync {
    /// The names of the agents.
    ///
    /// # Errors
    /// The caller may not know them.
    fn agents(&self) -> Result<Vec<String>, Fault>;

    /// Starts a turn.
    ///
    /// # Errors
    /// The caller may not, or what is wanted makes no sense.
    fn start(&self, wanted: WantedTurn) -> BoxFuture<'static, Result<Box<dyn FollowedTurn>, Fault>>;
}

/// A turn that is followed. Dropping it before its end cancels it.
pub trait FollowedTurn: Send {
    /// Waits for the next piece; none once it is over. Nothing is lost when the wait is given up.
    fn next(&mut self) -> BoxFuture<'_, Option<Piece>>;
}

/// A turn to be started.
#[derive(Debug)]
pub struct WantedTurn {
    /// Whose it is, and where it is said.
    pub opening: Opening,
    /// What is new, or the whole conversation where the session is; its files are kept.
    pub input: Vec<Input>,
    /// The caller's own tools.
    pub tools: Vec<ToolSpec>,
    /// A JSON object.
    pub options: String,
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
