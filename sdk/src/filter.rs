//! The `filter` capability: looks at what flows, and may change it or stop it. The operator names the filters that are asked:
//!
//! ```toml
//! [filters]
//! order = ["no-shouting"]
//! ```
//!
//! ```
//! use prx_sdk::filter::{Fault, Filter, Said, Stage, StageKind, Verdict};
//! use prx_sdk::testing;
//!
//! struct NoShouting;
//!
//! impl Filter for NoShouting {
//!     const STAGES: &[StageKind] = &[StageKind::Outbound];
//!
//!     fn inspect(stage: Stage) -> Result<Verdict, Fault> {
//!         let Stage::Outbound(Said { text, .. }) = stage else { return Ok(Verdict::Pass) };
//!         let quiet = text.replace('!', ".");
//!         Ok(if quiet == text { Verdict::Pass } else { Verdict::Replace(quiet) })
//!     }
//! }
//!
//! let reply = Stage::Outbound(testing::said("Hello!"));
//! assert_eq!(testing::inspect::<NoShouting>(reply).unwrap(), Verdict::Replace("Hello.".into()));
//! ```

pub use crate::types::{Attachment, Fault};
pub use crate::wire::filter::{Said, Stage, StageKind, ToolEnd, ToolUse, Verdict};

use crate::wire::filter as wire;

/// What looks at what flows.
pub trait Filter {
    /// Where it is to be asked.
    const STAGES: &[StageKind];

    /// Is asked about one thing at one of its stages.
    ///
    /// # Errors
    /// Why it could not look at it. Whether it goes on then is the operator's choice.
    fn inspect(stage: Stage) -> Result<Verdict, Fault>;
}

impl Stage {
    /// Where it is on its way.
    pub fn kind(&self) -> StageKind {
        match self {
            Self::Inbound(_) => StageKind::Inbound,
            Self::Outbound(_) => StageKind::Outbound,
            Self::BeforeTool(_) => StageKind::BeforeTool,
            Self::AfterTool(_) => StageKind::AfterTool,
        }
    }

    /// The text that can be replaced: of a call, its arguments.
    pub fn text(&self) -> &str {
        match self {
            Self::Inbound(said) | Self::Outbound(said) => &said.text,
            Self::BeforeTool(call) => &call.arguments,
            Self::AfterTool(end) => &end.text,
        }
    }
}

impl<T: Filter> wire::Guest for T {
    fn stages() -> Vec<StageKind> {
        T::STAGES.to_vec()
    }

    fn inspect(stage: Stage) -> Result<Verdict, Fault> {
        T::inspect(stage)
    }
}
