//! `prx mcp`

use serde_json::json;

use super::client::path;
use super::failure::Failure;
use super::output::{Console, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the configured servers and their state
    List,
    /// Disconnect a server and connect to it again
    Reconnect {
        /// The server's name
        name: String,
    },
}

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = console.gateway.get("/api/v1/mcp").await?;
            console.show(&answer, |answer| {
                table(&answer["servers"], &["name", "transport", "status", "connected_at", "tools", "error"])
            })
        }
        Command::Reconnect { name } => {
            let answer = console.gateway.post(&path(&["mcp", &name, "reconnect"]), json!({})).await?;
            console.show(&answer, |_| format!("reconnecting {name}"))
        }
    }
}
