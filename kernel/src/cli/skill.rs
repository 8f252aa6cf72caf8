//! `prx skill`

use super::failure::Failure;
use super::output::{Console, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List skills
    List,
}

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = console.gateway.get("/api/v1/skills").await?;
            console.show(&answer, |answer| {
                table(&answer["skills"], &["name", "source", "triggers", "description"])
            })
        }
    }
}
