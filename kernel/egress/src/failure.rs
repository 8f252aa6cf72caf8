//! Why a request brought no answer.

use std::error::Error;
use std::fmt;

use super::origin::Origin;

/// What stood in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The policy, or a rule that holds for every request, refuses it.
    Denied,
    /// The host's name could not be resolved.
    Dns,
    /// No address of the host took a connection.
    Connect,
    /// The host could not be shown to be who it should be.
    Tls,
    /// One of the request's timeouts passed.
    Timeout,
    /// The answer is larger than the request allows.
    TooLarge,
    /// What came back is not the HTTP that was asked for.
    Protocol,
    /// The connection ended before the answer did.
    Closed,
}

/// A request without a (whole) answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What stood in the way.
    pub kind: Kind,
    /// Whether the other side may have seen the request. `false` is a promise: repeating it repeats nothing.
    pub sent: bool,
    /// For the operator. Never holds a secret, nor more of the URL than its origin.
    pub reason: String,
}

impl Failure {
    /// A rule refuses the request, before a byte of it has left.
    pub(super) fn denied(reason: impl Into<String>) -> Self {
        Self { kind: Kind::Denied, sent: false, reason: reason.into() }
    }

    /// The request failed before a byte of it can have reached `origin`.
    pub(super) fn unsent(kind: Kind, origin: &Origin, reason: impl fmt::Display) -> Self {
        Self { kind, sent: false, reason: format!("{origin}: {reason}") }
    }

    /// The request failed when `origin` may already have acted on it.
    pub(super) fn sent(kind: Kind, origin: &Origin, reason: impl fmt::Display) -> Self {
        Self { kind, sent: true, reason: format!("{origin}: {reason}") }
    }

    /// A connection's error about a request that had begun to leave.
    pub(super) fn broken(origin: &Origin, error: &hyper::Error) -> Self {
        let kind = if error.is_parse_too_large() {
            Kind::TooLarge
        } else if error.is_parse() || error.is_user() {
            Kind::Protocol
        } else {
            Kind::Closed
        };
        match error.source() {
            Some(source) => Self::sent(kind, origin, format!("{error}: {source}")),
            None => Self::sent(kind, origin, error),
        }
    }

    /// The same failure, of a request of which an earlier part had already gone out if `earlier`.
    pub(super) fn after(mut self, earlier: bool) -> Self {
        self.sent |= earlier;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for Failure {}
