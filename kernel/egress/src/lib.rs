//! The one way out. Every request of a plugin leaves through [`Egress::send`], every WebSocket is opened by
//! [`Egress::connect`]: the origin is checked against the [`Policy`], its name is resolved once and every address
//! checked, secrets are put in here and nowhere else, and whatever comes back is bounded and scrubbed of them.

mod address;
mod client;
mod connect;
mod failure;
mod origin;
mod pacing;
mod pattern;
mod policy;
mod pool;
mod redirect;
mod render;
mod request;
mod response;
mod scrub;
#[cfg(test)]
mod tests;
mod websocket;

pub use client::Egress;
pub use connect::{Answers, Resolver};
pub use failure::{Failure, Kind};
pub use origin::{InvalidUrl, Origin};
pub use pacing::{pause, retry_after};
pub use pattern::Pattern;
pub use policy::{Allowed, Policy, Secrets};
pub use request::{Body, BoxError, Piece, Request, Segment, Stream, Timeouts};
pub use response::{Response, ResponseBody};
pub use scrub::LEAST_SECRET;
pub use websocket::{Frame, MAX_MESSAGE, Payload, Progress, Upgrade, WebSocket};
