//! The PRX kernel. It does the input and output; components decide.

pub mod clock;
pub mod config;
pub mod egress;
pub mod error;
pub mod events;
pub mod http;
pub mod logs;
pub mod plugin;
pub mod store;
