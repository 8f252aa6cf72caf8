//! `prx channel`

use serde_json::json;

use super::Failure;
use super::client::path;
use super::output::{Console, fields, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the configured channels and how they stand
    List,
    /// Have a channel close its connection, then connect anew
    Restart {
        /// The channel's name
        name: String,
    },
    /// Show how a channel is
    Health {
        /// The channel's name
        name: String,
    },
}

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = console.gateway.get("/api/v1/channels").await?;
            console.show(&answer, |answer| {
                table(&answer["channels"], &["name", "status", "connected_at", "active_sessions", "error"])
            })
        }
        Command::Restart { name } => {
            let answer = console.gateway.post(&path(&["channels", &name, "restart"]), json!({})).await?;
            console.show(&answer, |answer| {
                format!("{name} is {}", answer["status"].as_str().unwrap_or_default())
            })
        }
        Command::Health { name } => {
            console.show(&console.gateway.get(&path(&["channels", &name, "health"])).await?, fields)
        }
    }
}
