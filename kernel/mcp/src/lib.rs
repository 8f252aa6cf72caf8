//! MCP servers that the operator configured: each is a task of its own that keeps it connected, and its tools are
//! called like any other.

mod call;
mod client;
mod connection;
mod content;
mod discovery;
pub mod door;
mod elicitation;
mod failure;
mod http;
mod listing;
mod login;
mod old_site;
mod pages;
mod process;
mod redact;
mod requests;
mod resources;
mod schema;
mod server;
mod settings;
mod spawn;
mod stdout;
mod under_way;
mod wire;

pub use self::client::{Caller, Mcp, ServerStatus, Tool};
pub use self::content::Outcome;
pub use self::server::State;
pub use self::settings::{check, unresolved};
pub use self::spawn::{become_program, is_ours};
pub use self::under_way::{Person, Question};
