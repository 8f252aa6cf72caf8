//! The `provider` capability: a model behind one interface.
//!
//! ```
//! use prx_sdk::provider::{Completion, Provider, ProviderError, Request, Sink, StopReason, Usage};
//!
//! pub struct Yes;
//!
//! impl Provider for Yes {
//!     fn models() -> Vec<String> {
//!         vec!["yes-1".to_owned()]
//!     }
//!
//!     fn complete(_: Request, sink: &Sink) -> Result<Completion, ProviderError> {
//!         sink.text("Yes.");
//!         Ok(Completion {
//!             text: "Yes.".to_owned(),
//!             tool_calls: Vec::new(),
//!             stop: StopReason::End,
//!             usage: Usage { input: 0, output: 1, cached: 0 },
//!             data: None,
//!         })
//!     }
//! }
//!
//! prx_sdk::plugin! { provider: Yes, manifest: "plugin.toml" }
//! ```

pub use crate::sink::{Delta, Sink};
pub use crate::types::{Attachment, AttachmentKind, Fault, FaultCode};
pub use crate::wire::provider::{
    AssistantMessage, Completion, ContextLength, Message, ModelInfo, ProviderData, ProviderError, Request,
    StopReason, ToolCall, ToolResult, ToolSpec, Usage, UserMessage,
};

use std::time::Duration;

use crate::wire::imports::sink::DeltaSink;
use crate::wire::provider as wire;

/// A model, or several.
pub trait Provider {
    /// The models there are. Asked once at each load.
    fn models() -> Vec<String>;

    /// The models there are, as their server says now.
    ///
    /// # Errors
    /// Why it doesn't say. A provider whose models are known without asking need not write this.
    fn list_models() -> Result<Vec<ModelInfo>, ProviderError> {
        Ok(Self::models().into_iter().map(ModelInfo::named).collect())
    }

    /// Answers a conversation. Pieces go into the sink as they come; the completion repeats the whole.
    ///
    /// # Errors
    /// Why there is no answer, and whether asking again may help. What went into the sink is then void.
    fn complete(request: Request, sink: &Sink) -> Result<Completion, ProviderError>;
}

impl ProviderError {
    /// A fault that is likely to go away by itself, and not before `wait` where the other side says so.
    pub fn passing(fault: Fault, wait: Option<Duration>) -> Self {
        let milliseconds = |wait: Duration| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        Self { fault, retryable: true, retry_after_ms: wait.map(milliseconds), too_long: None }
    }

    /// It is the length of the conversation that is refused: the kernel leaves some of it out and asks again.
    pub fn too_long(fault: Fault, length: ContextLength) -> Self {
        Self { too_long: Some(length), ..fault.into() }
    }
}

impl ModelInfo {
    /// A model of which only the id is known.
    pub fn named(id: impl Into<String>) -> Self {
        Self { id: id.into(), window: None, max_output: None }
    }
}

/// A fault that asking again will not mend.
impl From<Fault> for ProviderError {
    fn from(fault: Fault) -> Self {
        Self { fault, retryable: false, retry_after_ms: None, too_long: None }
    }
}

impl<T: Provider> wire::Guest for T {
    fn models() -> Vec<String> {
        T::models()
    }

    fn list_models() -> Result<Vec<ModelInfo>, ProviderError> {
        T::list_models()
    }

    fn complete(request: Request, sink: &DeltaSink) -> Result<Completion, ProviderError> {
        let push = |delta: Delta| sink.push(&delta);
        T::complete(request, &Sink::new(&push))
    }
}
