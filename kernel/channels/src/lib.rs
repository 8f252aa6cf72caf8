//! Channels: each configured one is a task of its own that runs its connector, from what the platform says to
//! committed messages, and from committed replies to what the platform is asked for.
//!
//! A channel's settings and manifest make its `setup`; its code and state are its `component`. `supervise` runs the
//! connector again and again, each run is an `event_loop` over a `pump`, and each call of the connector is a `step`
//! that is planned in `plan` and committed before anything goes out. `sockets`, `requests`, `timers`, `outbound` and
//! `webhooks` are what it reaches the platform by; heartbeats are sent in `keepalive`.

mod blobs;
mod challenge;
mod channels;
mod component;
mod control;
mod convert;
mod event_loop;
mod health;
mod input;
mod keepalive;
mod live_replies;
mod live_reply;
mod log;
mod outbound;
mod plan;
mod pump;
mod quota;
mod requests;
mod running;
mod services;
mod setup;
mod socket;
mod socket_event;
mod sockets;
mod status;
mod step;
mod supervise;
mod swap;
mod swap_progress;
mod timers;
mod verification;
mod watchdog;
mod webhook;
mod webhooks;

pub use self::channels::Channels;
pub use self::convert::describe;
pub use self::health::{Last, State, Undelivered};
pub use self::setup::{check, plugin};
pub use self::status::ChannelStatus;
pub use self::swap_progress::Swap;
pub use self::webhook::{Webhook, WebhookReply};
