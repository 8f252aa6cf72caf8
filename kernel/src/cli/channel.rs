//! `prx channel`

use super::Failure;
use super::output::{Console, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the configured channels and how they stand
    List,
}

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = console.gateway.get("/api/v1/channels").await?;
            console.show(&answer, |answer| {
                table(&answer["channels"], &["name", "status", "connected_at", "active_sessions", "error"])
            })
        }
    }
}
