//! The HTTP server: from an accepted connection to a handler and back. Whoever starts it gives it a route table, and the
//! handlers their state.
//!
//! It promises that
//! - every request is answered, with an `X-Request-Id` and a line in the access log under the same id; every failure in
//!   the one error envelope, its cause in the log and nowhere else;
//! - a handler is called only for a caller who has the scope of its route and is within the rate limit, and runs to its
//!   end even if the client hangs up;
//! - a request that is repeated with its idempotency key is answered as it was and done once, also after a crash;
//! - heads, bodies, writes and idle connections have a timeout and a size limit; connections have a number;
//! - while the gateway starts it answers 503, and when it shuts down it lets requests in flight finish within a timeout.
//!
//! It never makes a request itself, never speaks plain HTTP over a network unless a proxy in front is configured, and
//! knows no resource but the liveness probe.

pub use self::access::{Access, Group};
pub use self::auth::{Caller, Minted, NewToken, mint};
pub use self::body::{Body, Fields};
pub use self::call::{Call, Handler};
pub use self::codes::{Codes, NewCode};
pub use self::describe::Doc;
pub use self::listen::{BindError, Network, OwnerSocket, SOCKET};
pub use self::mounts::{Mounted, Mounts};
pub use self::origin::trace_context;
pub use self::payload::{BrokenOff, Envelope};
pub use self::pipeline::Pipeline;
pub use self::query::Query;
pub use self::reply::{OCTETS, Reply};
pub use self::router::{BadTable, Route, Router};
pub use self::scope::Scope;
pub use self::server::serve;
pub use self::service::reply_shutdown_timeout;
pub use self::streamed::{Failure, Streamed};
pub use self::tls::{Certificate, TlsError};
pub use self::traffic::{Outcome, Traffic};

mod access;
mod access_log;
mod auth;
mod body;
mod call;
mod codes;
mod connections;
mod cors;
mod decode;
pub mod describe;
pub mod duration;
mod framing;
mod hosts;
mod idempotency;
mod listen;
mod mounts;
mod origin;
pub mod parameter;
mod payload;
mod pipeline;
mod query;
mod rate_limit;
mod reply;
mod rest;
mod router;
mod scope;
mod server;
mod service;
pub mod sse;
mod starting;
mod streamed;
mod tls;
mod traffic;
mod unauthorized;
mod wire;
mod write_timeout;

#[cfg(test)]
mod tests;
