//! Connector for any system that posts JSON and takes JSON posts.
//!
//! A message is a `POST /in/{channel}`, signed by Standard Webhooks 1.0 with the channel's `secret`; the gateway checks
//! the signature before this connector is asked, and a message that comes again under the same `webhook-id` is taken
//! once:
//!
//! ```json
//! {"id": "m-1", "conversation": "ticket-7", "thread": null, "user": {"id": "u-1", "name": "Ada"}, "text": "Hello"}
//! ```
//!
//! `id`, `thread` and `user.name` may be left out. With `"group": true` the agent is told who speaks, for more than one
//! person does in that conversation; `"reply_to": {"author": "Bob", "text": "…"}` is the message that this one answers. It is answered with 200 once it is on disk, with 400 and a reason if
//! it is no message.
//!
//! A reply is a `POST` to `reply_url`. It comes at least once, each time under the same `id`, until it is answered with
//! a 2xx; 408, 425, 429 and 5xx are tried again, after `Retry-After` where there is one:
//!
//! ```json
//! {"id": "…", "conversation": "ticket-7", "thread": null, "reply_to": "m-1", "text": "Hello, Ada."}
//! ```
//!
//! A reply with files has `attachments` as well, each `{"blob": "blob_…", "name": "chart.png", "mime": "image/png",
//! "size": 2048}`: the bytes are at `GET /api/v1/blobs/{blob}`, for a token with the scope `sessions:read`.
//!
//! Replies are not signed, for a signature of a body takes the secret itself and connectors never see one. What shows
//! that they are genuine is `reply_token`, which the gateway puts into their `Authorization` header.

mod connector;
mod message;
mod reply;

#[cfg(test)]
mod tests;

pub use connector::Webhook;

prx_sdk::plugin! { connector: Webhook, manifest: "plugin.toml" }
