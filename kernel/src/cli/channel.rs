//! `prx channel`

use hyper::Method;
use serde_json::json;

use super::client::{Payload, path};
use super::failure::Failure;
use super::output::{Console, fields, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the configured channels and their state
    List,
    /// Disconnect a channel and connect it again
    Restart {
        /// The channel's name
        name: String,
    },
    /// Show the health of a channel
    Health {
        /// The channel's name
        name: String,
    },
    /// List the dead letters of a channel: what it could not deliver, newest last
    DeadLetters {
        /// The channel's name
        name: String,
        /// How many to list at most
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Retry a dead letter
    Replay {
        /// The channel's name
        name: String,
        /// The dead letter's id
        id: String,
    },
    /// Delete a dead letter
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
            console.done(&json!({"id": id, "discarded": true}), &format!("forgot {id}"))
        }
    }
}
