//! How a call into a component can fail.

use std::time::Duration;

use super::bindings::common::{Fault, FaultCode};
use prx_base::error::{Code, Error};

/// Why a call brought no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum CallError {
    /// The component's own answer: it could not do the work.
    Fault(Fault),
    /// It broke: a panic, an access out of bounds, a misuse of what it was given.
    Trap(String),
    /// It computed longer than it may.
    CpuLimit(Duration),
    /// It didn't answer in time.
    Deadline(Duration),
    /// It didn't answer in time, and its own calls were computing all along, this one or others before it.
    Crowded(Duration),
    /// It asked for more memory than it may have, in bytes.
    OutOfMemory(u64),
    /// It has no such capability.
    NoSuch(String),
    /// So many calls of it are under way, the most it may have; fewer where others have many.
    TooMany(u32),
    /// The calls of it that are under way have this much memory together, in bytes, the most they may have.
    Full(u64),
    /// So many calls are under way, of all plugins, that there is no place for another.
    Busy,
    /// It is disabled, gone, or its warm instance is dead.
    Stopped,
}

impl CallError {
    /// Whether the component is to blame, so that it counts towards its quarantine. A deadline that it missed while it
    /// waited does not say that: it may be a platform that keeps everybody waiting.
    pub fn is_defect(&self) -> bool {
        matches!(self, Self::Trap(_) | Self::CpuLimit(_) | Self::Crowded(_) | Self::OutOfMemory(_))
    }

    /// Whether the code is to blame, if only for not doing the work: code that is on probation goes for that, too.
    pub fn is_its_own(&self) -> bool {
        self.is_defect() || matches!(self, Self::Fault(_))
    }

    /// The error as a caller of the API reads it.
    pub fn into_error(self, plugin: &str) -> Error {
        let message = format!("Plugin {plugin}: {self}");
        let code = match self {
            Self::Fault(fault) => match fault.code {
                FaultCode::BadInput | FaultCode::TooLarge => Code::BadRequest,
                FaultCode::Unavailable => Code::Unavailable,
                FaultCode::Timeout => Code::GatewayTimeout,
                FaultCode::BadConfig | FaultCode::Denied | FaultCode::Quota | FaultCode::Internal => {
                    Code::BadGateway
                }
            },
            Self::Trap(_) | Self::OutOfMemory(_) => Code::BadGateway,
            Self::CpuLimit(_) | Self::Deadline(_) | Self::Crowded(_) => Code::GatewayTimeout,
            Self::NoSuch(_) => Code::NotFound,
            Self::TooMany(_) | Self::Full(_) | Self::Busy | Self::Stopped => Code::Unavailable,
        };
        Error::new(code, message)
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fault(fault) => f.write_str(&fault.message),
            Self::Trap(reason) => write!(f, "it broke off: {reason}"),
            Self::CpuLimit(limit) => write!(f, "it was cut off after computing for {limit:?}"),
            Self::Deadline(limit) => write!(f, "it did not answer within {limit:?}"),
            Self::Crowded(limit) => {
                write!(f, "it did not answer within {limit:?}, which its calls spent computing side by side")
            }
            Self::OutOfMemory(limit) => write!(f, "it needs more than its {limit} bytes of memory"),
            Self::NoSuch(what) => write!(f, "it gives no {what}"),
            Self::TooMany(most) => {
                write!(
                    f,
                    "too many calls of it are under way: {most} at a time are the most it may have, and fewer \
                     while other plugins have many; try again"
                )
            }
            Self::Full(most) => {
                write!(f, "all its calls together need more than their {most} bytes of memory; try again")
            }
            Self::Busy => f.write_str("too many calls of all plugins are under way; try again"),
            Self::Stopped => f.write_str("it is not running"),
        }
    }
}

impl std::error::Error for CallError {}
