//! Bytes and headers: from an accepted connection to a handler and back. Knows no resource.

pub use self::auth::{Caller, Minted, NewToken, mint};
pub use self::body::{Body, Fields};
pub use self::describe::Doc;
pub use self::front::{Call, FINISH, Front, Parts};
pub use self::listen::{BindError, Network, OwnerSocket, SOCKET};
pub use self::query::Query;
pub use self::reply::{Envelope, OCTETS, Reply};
pub use self::router::{Access, BadTable, Group, Handler, Route, Router};
pub use self::scope::Scope;
pub use self::server::serve;
pub use self::tls::TlsError;
pub use self::traffic::{Outcome, Traffic};

mod auth;
mod body;
mod decode;
pub mod describe;
pub mod duration;
mod front;
mod hosts;
mod limits;
mod listen;
pub mod parameter;
mod query;
mod repeat;
mod reply;
mod router;
mod scope;
mod server;
pub mod sse;
mod stall;
mod tls;
mod traffic;

#[cfg(test)]
mod tests;
