//! The one way out. Every request of a plugin leaves through [`Egress::send`]: its origin is checked against
//! the [`Policy`], its name is resolved once and every address checked, its secrets are put in here and
//! nowhere else, and whatever comes back is bounded and scrubbed of them.

mod address;
mod client;
mod connect;
mod failure;
mod origin;
mod policy;
mod pool;
mod redirect;
mod render;
mod request;
mod response;
mod scrub;
#[cfg(test)]
mod tests;

pub use client::Egress;
pub use connect::{Answers, Resolver};
pub use failure::{Failure, Kind};
pub use origin::{InvalidUrl, Origin};
pub use policy::{Allowed, Policy, Secrets};
pub use request::{Body, BoxError, Piece, Request, Segment, Stream, Timeouts};
pub use response::{Response, ResponseBody};
