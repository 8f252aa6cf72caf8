//! The one way out. Every request of a plugin leaves through [`Egress::send`], every WebSocket is opened by
//! [`Egress::connect`].
//!
//! It promises that
//! - nothing is sent to an origin that the [`Policy`] does not name, nor to an address inside the operator's network
//!   unless he named that origin himself; a name is resolved once, and the address that was checked is the one that is
//!   used; every redirect passes the same checks;
//! - where the operator has a proxy, requests go through it, to the same origins: a name is checked as far as it can be
//!   resolved here, an address as ever; what is on this machine is reached without it;
//! - a secret is put in here and nowhere else, goes only where it is granted for, and is scrubbed from whatever comes
//!   back;
//! - every wait has a timeout, every answer a size limit, also where it is encoded unasked and decoded here, every plugin a
//!   limit of requests in flight;
//! - a [`Failure`] says whether the other side may have seen the request.
//!
//! It never retries what may have been sent, never follows a redirect unasked, and never logs or repeats a secret or more
//! of a URL than its origin. The wait that an answer asks for is told by [`retry_after()`] and [`backoff`]; keeping to it
//! is the caller's.

mod address;
mod client;
mod connect;
mod decode;
mod failure;
mod origin;
mod outside;
mod pattern;
mod policy;
mod pool;
mod proxy;
mod redirect;
mod render;
mod request;
mod response;
mod retry_after;
mod scrub;
#[cfg(test)]
mod tests;
mod trust;
mod websocket;

pub use client::Egress;
pub use connect::{Answers, Resolver};
pub use failure::{Failure, Kind};
pub use origin::{InvalidUrl, Origin};
pub use pattern::Pattern;
pub use policy::{Allowed, Policy, Secrets};
pub use render::is_reserved_header;
pub use request::{Body, BoxError, Piece, Request, Segment, Stream, Timeouts};
pub use response::{Response, ResponseBody};
pub use retry_after::{backoff, retry_after};
pub use scrub::MIN_SECRET_BYTES;
pub use websocket::{Frame, MAX_MESSAGE_BYTES, Payload, Progress, Upgrade, WebSocket};
