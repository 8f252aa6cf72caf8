//! `prx channel`

use hyper::Method;
use serde_json::json;

use super::client::{Payload, path};
use super::failure::Failure;
use super::output::{Console, fields, say, table};

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
    /// List what a channel could not get done on its platform, newest last
    DeadLetters {
        /// The channel's name
        name: String,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Try once more what a channel has given up
    Replay {
        /// The channel's name
        name: String,
        /// The dead letter's id
        id: String,
    },
    /// Forget something that a channel has given up
    Discard {
        /// The channel's name
        name: String,
        /// The dead letter's id
        id: String,
    },
}

pub(super) async fn run(console: &Console, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = console.gateway.get("/api/v1/channels").await?;
            console.show(&answer, |answer| {
                let columns =
                    ["name", "status", "since", "active_sessions", "last_inbound_at", "error", "advice"];
                table(&answer["channels"], &columns)
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
        Command::DeadLetters { name, limit } => {
            let path = format!("{}?limit={limit}", path(&["channels", &name, "dead-letters"]));
            let answer = console.gateway.get(&path).await?;
            let columns = &["id", "failed_at", "conversation", "operation", "attempts", "reason", "text"];
            console.show(&answer, |answer| table(&answer["dead_letters"], columns))
        }
        Command::Replay { name, id } => {
            let path = path(&["channels", &name, "dead-letters", &id, "replay"]);
            let answer = console.gateway.post(&path, json!({})).await?;
            console.show(&answer, |answer| {
                format!("on its way again as {}", answer["id"].as_str().unwrap_or_default())
            })
        }
        Command::Discard { name, id } => {
            let path = path(&["channels", &name, "dead-letters", &id]);
            console.gateway.send(Method::DELETE, &path, Payload::None).await?;
            say(&format!("forgot {id}"))
        }
    }
}
